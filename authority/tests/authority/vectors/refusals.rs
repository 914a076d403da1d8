//! The bytes of every refusal.

use circlet_authority::{DecodeError, Outcome, Refusal};
use circlet_token::Subject;

use super::frozen;
use crate::house::{OURS, THEIRS, kid, name, service, token_id};

fn refusals_about_people() -> Vec<Refusal> {
    let text = || "text".to_owned();
    let user = || name("alice");
    vec![
        Refusal::NotBootstrapped,
        Refusal::AlreadyBootstrapped { service_id: service(OURS) },
        Refusal::Forbidden { asked: text(), allowed: text() },
        Refusal::ActorRevoked { why: text() },
        Refusal::ActorExpired { at: 5 },
        Refusal::ActorUnknown { name: user() },
        Refusal::UserDisabled { name: user() },
        Refusal::UserUnknown { name: user() },
        Refusal::UserExists { name: user() },
        Refusal::GroupUnknown { name: text() },
        Refusal::GroupExists { name: text() },
        Refusal::LastAdministrator { name: user() },
        Refusal::LastAdministratorGroup { name: text() },
        Refusal::LimitReached { limit: text(), max: 5 },
        Refusal::TooLong { what: text(), found: 6, limit: text(), max: 5 },
    ]
}

fn refusals_about_tokens() -> Vec<Refusal> {
    let text = || "text".to_owned();
    let (id, asked_by) = (token_id("t"), name("alice"));
    let by = || asked_by.clone();
    vec![
        Refusal::UnknownToken { id },
        Refusal::TokenRevoked { id },
        Refusal::NotRevocable { id, expires_at: Some(5) },
        Refusal::ForeignToken { id, issuer: service(THEIRS), here: service(OURS) },
        Refusal::IdTaken { id },
        Refusal::IdempotencyConflict,
        Refusal::RefreshUsed,
        Refusal::RefreshUsedFamilyRevoked,
        Refusal::RefreshUnknown,
        Refusal::RefreshRevoked,
        Refusal::RefreshMismatch,
        Refusal::RefreshExpired { expired_at: 5, until: 6 },
        Refusal::OwnerUnknown { name: by() },
        Refusal::OnlyForSelf { asked_by: by(), requested: text() },
        Refusal::ScopeForbidden { asked_by: by(), item: text() },
        Refusal::NotMember { asked_by: by(), groups: text() },
        Refusal::ExpiryTooLong { asked_by: by(), max: 5, requested: text() },
        Refusal::InsufficientScope { scope: text() },
        Refusal::ScopeUnaccepted { item: text(), why: text() },
        Refusal::ForeignSubject { subject: Subject::parse(THEIRS).unwrap(), here: service(OURS) },
    ]
}

fn refusals_about_the_cluster() -> Vec<Refusal> {
    let text = || "text".to_owned();
    let kid = || kid("k1");
    vec![
        Refusal::ConfigInvalid { why: text() },
        Refusal::ConfigChanged { expected: 1, current: 2 },
        Refusal::KeyUnknown { kid: kid() },
        Refusal::KeyState { kid: kid(), state: text(), why: text() },
        Refusal::KeyIsOurs { kid: kid() },
        Refusal::IssuerIsUs { issuer: service(OURS) },
        Refusal::KeyOfAnotherIssuer { kid: kid(), issuer: service(THEIRS) },
        Refusal::IssuerUnknown { kid: kid() },
        Refusal::JoinTokenUnknown,
        Refusal::JoinTokenExpired { at: 5 },
        Refusal::JoinTokenUsed,
        Refusal::NodeTaken { node: 5, what: text() },
        Refusal::MarkUnknown { mark: 5 },
        Refusal::MarkTooYoung { elapsed_ms: 5, needed_ms: 6 },
        Refusal::Taken { what: text() },
        Refusal::Empty { what: text() },
        Refusal::RotationUnderWay { kid: kid() },
        Refusal::KeyNotReady { kid: kid(), why: text() },
        Refusal::KeyNeeded { kid: kid(), why: text() },
        Refusal::KeyOfRemovedNode { node: 5 },
    ]
}

/// Those whose tags don't follow one another.
fn refusals_with_tags() -> Vec<(u8, Refusal)> {
    let issuer = || service(THEIRS);
    let circle = vec![
        Refusal::MemberUnknown { issuer: issuer() },
        Refusal::FeedMoved { issuer: issuer() },
        Refusal::FeedBroken { issuer: issuer() },
        Refusal::NoCircleKey,
        Refusal::InviteUnknown,
        Refusal::InviteExpired { at: 5 },
        Refusal::InviteUsed,
        Refusal::InviteForAnother { guest: issuer() },
        Refusal::IssuerKnown { issuer: issuer() },
        Refusal::CircleKeyReplaced,
        Refusal::KeyEnded { kid: kid("k"), issuer: issuer() },
        Refusal::MemberMayNotRevoke { issuer: issuer() },
    ];
    let secrets = vec![
        Refusal::JoinKeyOff,
        Refusal::CaReplaced,
        Refusal::SealedUnderAnother,
        Refusal::MasterKeyUnderWay,
        Refusal::MasterKeyUnknown,
        Refusal::MasterKeyNotReady { why: "text".to_owned() },
        Refusal::NodeNotRemoved { node: 5 },
        Refusal::MasterKeyReplaced,
        Refusal::LostNodePending,
    ];
    let later = [
        (150, Refusal::NodeUnknown { node: 7 }),
        (151, Refusal::LevelNotSupported { to: 2, node: 7, supports: 1 }),
        (152, Refusal::NodeTooOld { level: 2, supports: 1 }),
    ];
    (70..).zip(circle).chain((140..).zip(secrets)).chain(later).collect()
}

#[test]
fn every_refusal_keeps_its_bytes() {
    let mut rows = Vec::new();
    let all = [refusals_about_people(), refusals_about_tokens(), refusals_about_the_cluster()].concat();
    let all: Vec<(u8, Refusal)> = (1..).zip(all).chain(refusals_with_tags()).collect();
    for (tag, refusal) in &all {
        let outcome = Outcome::from(refusal.clone());
        let bytes = outcome.encode();
        assert_eq!(bytes[2], *tag, "{refusal:?}");
        assert_eq!(Outcome::decode(&bytes).as_ref(), Ok(&outcome));
        assert!(!refusal.to_string().contains('\n'), "{refusal}");
        let debug = format!("{refusal:?}");
        rows.push((debug.split([' ', '{']).next().unwrap().to_owned(), bytes));
    }
    for tag in (1..=250).filter(|tag| all.iter().all(|(known, _)| known != tag)) {
        assert!(
            matches!(Outcome::decode(&[1, 11, tag]), Err(DecodeError::UnknownTag { .. })),
            "refusal {tag} has no vector"
        );
    }
    frozen("refusals.hex", &rows);
}
