//! What the system endpoints give.

use serde_json::{Value, json};

use super::Presence::Always;
use super::{flag, list, object, text};

pub(super) fn all() -> Vec<(&'static str, Value)> {
    let missing = object([("condition", text(), Always), ("why", text(), Always), ("hint", text(), Always)]);
    let serves = object([("plain_tokens", flag(), Always), ("everything", flag(), Always)]);
    vec![
        (
            "Version",
            object([
                ("version", text(), Always),
                ("revision", text(), Always),
                ("addons", list(&text()), Always),
                ("license", text(), Always),
            ]),
        ),
        (
            "RouterHealth",
            object([
                ("router", json!({"type": "object"}), Always),
                ("services", list(&json!({"type": "object"})), Always),
            ]),
        ),
        (
            "Readiness",
            object([
                ("ready", flag(), Always),
                ("serves", serves, Always),
                ("missing", list(&missing), Always),
            ]),
        ),
    ]
}
