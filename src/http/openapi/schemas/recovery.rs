//! Revoking together, and backups.

use serde_json::{Value, json};

use super::Presence::{Always, Maybe};
use super::{flag, list, loose_flag, loose_text, object, or_null, reference, text, whole};

pub(super) fn all() -> Vec<(&'static str, Value)> {
    let range = || ["since", "until"].map(|name| (name, or_null("integer"), Always));
    let second = || json!({"type": ["integer", "string", "null"]});
    let mark = range().into_iter().chain([
        ("whom", text(), Always),
        ("index", whole(), Always),
        ("at", text(), Always),
    ]);
    let ended = range().into_iter().chain([
        ("whom", text(), Always),
        ("recorded_tokens", whole(), Always),
        ("dry_run", flag(), Always),
        ("note", text(), Always),
    ]);
    let named = ["user", "subject", "group", "key"].map(|name| (name, loose_text(), Maybe));
    let order = named.into_iter().chain([
        ("everyone", loose_flag(), Maybe),
        ("since", second(), Maybe),
        ("until", second(), Maybe),
        ("dry_run", loose_flag(), Maybe),
    ]);
    vec![
        ("BackupOrder", object([("passphrase", loose_text(), Maybe)])),
        ("Watermark", object(mark)),
        ("Watermarks", object([("watermarks", list(&reference("Watermark")), Always)])),
        ("RevokeTogether", object(order)),
        ("RevokedTogether", object(ended)),
    ]
}
