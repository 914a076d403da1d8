//! Vectors of the circle.

use circlet_authority::{
    Action, ApproveMember, Approved, CircleKey, DismissMember, FollowFeed, FollowStep, InviteMember,
    LimitIssuer, NoteTaken, ReplaceCircleKey, RevokeForMember, SetCircleKey, ToldKey,
};
use circlet_token::{
    Algorithm, SigningKey, TokenId,
    feed::{CirclePublicKey, FeedEntry, FeedMark, FeedPosition, FeedWhom, Succession},
};

use super::trust;
use crate::house::{OURS, THEIRS, hash, kid, sealed, service};

/// Every action on the circle, in an order in which each is carried out.
pub(super) fn actions() -> Vec<(&'static str, Action)> {
    vec![
        (
            "limit-issuer",
            Action::LimitIssuer(Box::new(LimitIssuer { kid: kid("t"), limits: trust().limits })),
        ),
        ("set-circle-key", Action::SetCircleKey(Box::new(SetCircleKey { key: circle_key() }))),
        (
            "invite-member",
            Action::InviteMember(InviteMember { hash: hash("invitation"), guest: Some(service(THEIRS)) }),
        ),
        ("approve-member", Action::ApproveMember(Box::new(approve()))),
        ("follow-page", follow(page(b"", b"next"))),
        ("follow-last-page", follow(page(b"next", b""))),
        ("follow-entries", follow(entries())),
        ("follow-contact", follow(FollowStep::Contact)),
        ("follow-fault", follow(fault())),
        ("follow-keys", told()),
        ("follow-circle-keys", follow(FollowStep::CircleKeys { successions: vec![named(THEIRS, 3, 4)] })),
        ("replace-circle-key", Action::ReplaceCircleKey(Box::new(replace()))),
        (
            "note-taken",
            Action::NoteTaken(NoteTaken { issuer: service(THEIRS), member: APPROVED_AT, at: begin() }),
        ),
        (
            "revoke-for-member",
            Action::RevokeForMember(RevokeForMember {
                issuer: service(THEIRS),
                member: APPROVED_AT,
                id: TokenId([3; 16]),
                cascade: true,
            }),
        ),
        ("dismiss-member", Action::DismissMember(DismissMember { issuer: service("jfrt@01nobody") })),
    ]
}

fn circle_key() -> CircleKey {
    CircleKey { spki_der: public(1).spki_der(), private_key: sealed("circle key"), successions: Vec::new() }
}

fn public(seed: u8) -> CirclePublicKey {
    CirclePublicKey::of(&SigningKey::from_ed25519_seed(&[seed; 32])).unwrap()
}

fn named(issuer: &str, seed: u8, next: u8) -> Succession {
    let key = SigningKey::from_ed25519_seed(&[seed; 32]);
    Succession::sign(&key, &service(issuer), public(next)).unwrap()
}

fn replace() -> ReplaceCircleKey {
    ReplaceCircleKey { succession: named(OURS, 1, 2), private_key: sealed("next circle key") }
}

fn approve() -> ApproveMember {
    let approved = Approved {
        issuer: service(THEIRS),
        name: "them".to_owned(),
        circle_key: public(3).spki_der(),
        hosts: vec!["https://one".to_owned(), "https://two".to_owned()],
        ca_certificate_der: vec![5; 40],
    };
    ApproveMember { approved, invite: Some(hash("invitation")), mutual: true }
}

/// In the snapshot's history, the approval is the entry before the pages.
fn follow(step: FollowStep) -> Action {
    let keys = Vec::new();
    Action::FollowFeed(Box::new(FollowFeed { member: APPROVED_AT, issuer: service(THEIRS), step, keys }))
}

/// Token keys on their way, behind the other entries.
fn told() -> Action {
    let at = begin().after_all(&listed());
    let entries = [
        FeedEntry::KeyShown { certificate: b"certificate next".to_vec() },
        FeedEntry::KeyActive { key: kid("next") },
        FeedEntry::KeyRetired { key: kid("gone") },
        FeedEntry::CircleKey(Box::new(named(THEIRS, 3, 4))),
    ];
    let (to, entries) = (at.after_all(&entries), entries.iter().flat_map(FeedEntry::to_bytes).collect());
    let key = ToldKey {
        kid: kid("next"),
        algorithm: Algorithm::EdDsa,
        spki_der: b"public key next".to_vec(),
        common_name: THEIRS.to_owned(),
        not_after: "7000-01-01".to_owned(),
        file_name: "them-next.crt".to_owned(),
    };
    let step = FollowStep::Entries { at, to, entries };
    let follow = FollowFeed { member: APPROVED_AT, issuer: service(THEIRS), step, keys: vec![key] };
    Action::FollowFeed(Box::new(follow))
}

/// The log index at which the snapshot's history approves the member.
const APPROVED_AT: u64 = 78;

fn begin() -> FeedPosition {
    FeedPosition { generation: 1, sequence: 7, hash: hash("seven") }
}

fn page(cursor: &[u8], next: &[u8]) -> FollowStep {
    let mark = FeedMark { index: 5, set_at: 1_800_000_000, since: 0, until: u64::MAX };
    let whom = [
        FeedWhom::Everyone,
        FeedWhom::Key(kid("u")),
        FeedWhom::Subject(hash("bob")),
        FeedWhom::Start("users/ci-".to_owned()),
        FeedWhom::Group("g".to_owned()),
    ];
    let marks = whom.map(|whom| FeedEntry::Mark { whom, mark });
    let entries: Vec<FeedEntry> = [FeedEntry::Tainted { key: kid("t") }].into_iter().chain(marks).collect();
    let entries = entries.iter().flat_map(FeedEntry::to_bytes).collect();
    FollowStep::Page { cursor: cursor.to_vec(), from: begin(), entries, next: next.to_vec() }
}

fn listed() -> [FeedEntry; 2] {
    [
        FeedEntry::Listed { expiry: 1_900_000_000, id: TokenId([1; 16]) },
        FeedEntry::Unseen { until: u64::MAX, id: TokenId([2; 16]) },
    ]
}

fn entries() -> FollowStep {
    let entries = listed();
    let to = begin().after_all(&entries);
    FollowStep::Entries { at: begin(), to, entries: entries.iter().flat_map(FeedEntry::to_bytes).collect() }
}

fn fault() -> FollowStep {
    FollowStep::Fault { code: "signature".to_owned(), proved: false, evidence: vec![1, 2, 3] }
}
