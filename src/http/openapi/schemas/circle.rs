//! The circle of trust, beyond certificates.

use serde_json::{Value, json};

use super::Presence::{Always, Maybe};
use super::{flag, list, object, or_null, reference, text, whole};

pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    let hosts = || json!({"type": ["array", "null"], "items": {"type": "string"}});
    let member_texts = ["service_id", "name", "feed", "last_contact"];
    let member = member_texts.map(|name| (name, text(), Always)).into_iter().chain([
        ("circle_key", or_null("string"), Always),
        ("mutual", flag(), Always),
        ("hosts", list(&text()), Always),
        ("certificates", list(&json!({"type": "object"})), Always),
        ("generation", or_null("integer"), Always),
        ("sequence", or_null("integer"), Always),
        ("entries", whole(), Always),
        ("age_ms", or_null("integer"), Always),
        ("faults", list(&json!({"type": "object"})), Always),
    ]);
    let circle = object([
        ("service_id", or_null("string"), Always),
        ("circle_key", or_null("string"), Always),
        ("generation", whole(), Always),
        ("sequence", whole(), Always),
        ("members", list(&reference("Member")), Always),
    ]);
    vec![
        ("Circle", circle),
        ("Member", object(member)),
        ("NewInvitation", object([("guest", or_null("string"), Maybe), ("hosts", hosts(), Maybe)])),
        (
            "Invitation",
            object([
                ("invitation", text(), Always),
                ("expires_at", whole(), Always),
                ("circle_key", text(), Always),
            ]),
        ),
        (
            "Acceptance",
            object([
                ("invitation", text(), Always),
                ("name", or_null("string"), Maybe),
                ("hosts", hosts(), Maybe),
                ("one_way", flag(), Maybe),
            ]),
        ),
        ("IntroductionOrder", object([("hosts", hosts(), Maybe)])),
        ("Introductions", object([("introductions", list(&reference("Introduction")), Always)])),
        (
            "Introduction",
            object(
                ["service_id", "circle_key", "ca"]
                    .map(|name| (name, text(), Always))
                    .into_iter()
                    .chain([("hosts", list(&text()), Always), ("certificates", list(&text()), Always)]),
            ),
        ),
        ("Guest", object(["id", "introduction", "proof"].map(|name| (name, text(), Always)))),
        ("Challenge", object([("challenge", text(), Always)])),
        (
            "RevokeOrder",
            object(
                ["member", "token_id", "by", "challenge", "nonce", "signature"]
                    .map(|name| (name, text(), Always))
                    .into_iter()
                    .chain([("cascade", flag(), Maybe)]),
            ),
        ),
        ("Verdict", object(["verdict", "signature"].map(|name| (name, text(), Always)))),
        ("CircleKey", object([("circle_key", text(), Always)])),
        ("Paired", object([("proof", text(), Always)])),
    ]
}
