//! Vectors of the circle.

use circlet_authority::{
    Action, ApproveMember, Approved, CircleKey, DismissMember, FollowFeed, FollowStep, InviteMember,
    LimitIssuer, SetCircleKey,
};
use circlet_token::{
    TokenId,
    feed::{FeedEntry, FeedMark, FeedPosition, FeedWhom},
};

use super::trust;
use crate::house::{THEIRS, hash, kid, sealed, service};

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
        ("dismiss-member", Action::DismissMember(DismissMember { issuer: service("jfrt@01nobody") })),
    ]
}

fn circle_key() -> CircleKey {
    CircleKey { spki_der: b"our circle key".to_vec(), private_key: sealed("circle key") }
}

fn approve() -> ApproveMember {
    let approved = Approved {
        issuer: service(THEIRS),
        name: "them".to_owned(),
        circle_key: b"their circle key".to_vec(),
        hosts: vec!["https://one".to_owned(), "https://two".to_owned()],
        ca_certificate_der: vec![5; 40],
    };
    ApproveMember { approved, invite: Some(hash("invitation")) }
}

/// In the snapshot's history, the approval is the entry before the pages.
fn follow(step: FollowStep) -> Action {
    Action::FollowFeed(Box::new(FollowFeed { member: APPROVED_AT, issuer: service(THEIRS), step }))
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

fn entries() -> FollowStep {
    let entries = [
        FeedEntry::Listed { expiry: 1_900_000_000, id: TokenId([1; 16]) },
        FeedEntry::Unseen { until: u64::MAX, id: TokenId([2; 16]) },
    ];
    let to = begin().after_all(&entries);
    FollowStep::Entries { at: begin(), to, entries: entries.iter().flat_map(FeedEntry::to_bytes).collect() }
}

fn fault() -> FollowStep {
    FollowStep::Fault { code: "signature".to_owned(), proved: false, evidence: vec![1, 2, 3] }
}
