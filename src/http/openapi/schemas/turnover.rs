//! Secrets that are turned over.

use serde_json::Value;

use super::Presence::Always;
use super::{list, object, text, whole};

pub(super) fn all() -> Vec<(&'static str, Value)> {
    vec![
        (
            "MasterKey",
            object([("fingerprint", text(), Always), ("former", text(), Always), ("index", whole(), Always)]),
        ),
        (
            "Ca",
            object([
                ("certificate", text(), Always),
                ("expires", whole(), Always),
                ("index", whole(), Always),
            ]),
        ),
        (
            "LostNode",
            object([
                ("id", whole(), Always),
                ("name", text(), Always),
                ("index", whole(), Always),
                ("master_key", text(), Always),
                ("signing_key", text(), Always),
                ("left_to_do", list(&text()), Always),
            ]),
        ),
    ]
}
