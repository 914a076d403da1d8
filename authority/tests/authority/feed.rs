//! What one cluster revokes, another knows: the list of a follower is that of the issuer, however it came by it.

use std::collections::BTreeSet;

use circlet_authority::{
    Action, Actor, ApproveMember, Approved, DismissMember, FollowFeed, FollowStep, Group, Judgement,
    KeyOrigin, Outcome, PresentedToken, Progress, Purge, PutGroup, PutMode, Refusal, RevokeBefore,
    RevokeTarget, RevokeToken, RotateKey, SetConfig, State, ToldKey, TrustIssuer, Whom,
};
use circlet_token::{
    Algorithm, Audience, Claims, Revocation, Scope, SigningKey, Subject, TokenId, Verified,
    feed::{CirclePublicKey, FeedEntry, FeedPosition},
};
use proptest::prelude::*;

use crate::house::{House, OURS, THEIRS, kid, name, new_key, service};

/// Lives for ever, unless an expiry is given.
fn token(number: u8, expires_at: Option<u64>) -> PresentedToken {
    PresentedToken {
        id: TokenId([number; 16]),
        subject: Subject::user(&service(THEIRS), &name("ci")),
        key: kid("k1"),
        issued_at: 1_800_000_000,
        expires_at,
        revocable: Some(true),
        index: Some(1),
    }
}

/// A circle key by its seed.
pub(crate) fn circle_key(seed: u8) -> CirclePublicKey {
    CirclePublicKey::of(&SigningKey::from_ed25519_seed(&[seed; 32])).unwrap()
}

fn revoke(issuer: &mut House, number: u8) -> Outcome {
    let expires_at = (!number.is_multiple_of(3)).then_some(1_800_100_000 + u64::from(number));
    let target = RevokeTarget::Value(Box::new(token(number, expires_at)));
    issuer.apply(Actor::Operator, Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })))
}

/// One of the ways in which an issuer revokes.
fn act(issuer: &mut House, kind: u8, number: u8) {
    match kind {
        0..=3 => drop(revoke(issuer, number)),
        4 => {
            let target = RevokeTarget::Id(TokenId([number; 16]));
            let revoke = RevokeToken { target, cascade: false };
            issuer.apply(Actor::Operator, Action::RevokeToken(Box::new(revoke)));
        }
        5 => {
            let whom = Whom::Subject(Subject::user(&service(THEIRS), &name(&format!("user{}", number % 4))));
            issuer.apply(Actor::Operator, Action::RevokeBefore(RevokeBefore::all_of(whom)));
        }
        6 => {
            let whom = match number % 5 {
                0 => Whom::Everyone,
                1 => Whom::Subjects { service: service(THEIRS), start: format!("users/{}", number % 7) },
                2 => Whom::Group("readers".to_owned()),
                _ => Whom::Key(kid(&format!("k{}", number % 3))),
            };
            let since = number.is_multiple_of(4).then_some(1_799_999_000 + u64::from(number));
            let until = number.is_multiple_of(3).then_some(1_799_999_100 + u64::from(number));
            issuer.apply(Actor::Operator, Action::RevokeBefore(RevokeBefore { whom, since, until }));
        }
        _ => {
            let active = issuer.state.active_key().unwrap().kid.clone();
            let label = format!("next {number} {}", issuer.state.index());
            let next = Some(Box::new(new_key(&label, &label, KeyOrigin::Made)));
            let taint = RotateKey::Taint { kid: active, next };
            issuer.apply(Actor::Operator, Action::RotateKey(Box::new(taint)));
        }
    }
}

pub(crate) fn issuer() -> House {
    let mut issuer = House::of(THEIRS);
    let mut config = circlet_authority::Config::default();
    // Plain tokens that are revocable: ids of which nothing is known can be revoked.
    config.set("token.persistency.persistent-expiry-threshold", "50000").unwrap();
    config.set("limits.keys-max", "1000").unwrap();
    issuer.apply(Actor::Operator, Action::SetConfig(Box::new(SetConfig { config, if_version: None })));
    let readers = PutGroup { group: Group::new("readers"), mode: PutMode::Create, members: None };
    issuer.apply(Actor::Operator, Action::PutGroup(Box::new(readers)));
    issuer
}

pub(crate) fn approved() -> Approved {
    Approved {
        issuer: service(THEIRS),
        name: "them".to_owned(),
        circle_key: circle_key(1).spki_der(),
        hosts: vec!["https://one".to_owned()],
        ca_certificate_der: Vec::new(),
    }
}

pub(crate) fn follower() -> House {
    let mut follower = House::of(OURS);
    let approve = ApproveMember { approved: approved(), invite: None, mutual: true };
    assert_eq!(follower.apply(Actor::Operator, Action::ApproveMember(Box::new(approve))), Outcome::Done);
    follower
}

/// The keys that a step tells, taken apart as the edge does it: a certificate here is a text with the key's label.
fn told_keys(step: &FollowStep) -> Vec<ToldKey> {
    let (FollowStep::Entries { entries, .. } | FollowStep::Page { entries, .. }) = step else {
        return Vec::new();
    };
    let entries = FeedEntry::read_all(entries).unwrap_or_default();
    let certificates = entries.iter().filter_map(|entry| match entry {
        FeedEntry::KeyShown { certificate } => {
            std::str::from_utf8(certificate).ok()?.strip_prefix("certificate ")
        }
        _ => None,
    });
    certificates.map(told_key).collect()
}

fn told_key(label: &str) -> ToldKey {
    ToldKey {
        kid: kid(label),
        algorithm: Algorithm::EdDsa,
        spki_der: format!("public key {}", label.split('/').next_back().unwrap()).into_bytes(),
        common_name: THEIRS.to_owned(),
        not_after: "7000-01-01".to_owned(),
        file_name: format!("them-{label}.crt"),
    }
}

pub(crate) fn step(follower: &mut House, step: FollowStep) -> Outcome {
    let issuer = service(THEIRS);
    let member = follower.state.member(&issuer).unwrap().since_index;
    let keys = told_keys(&step);
    follower.apply(Actor::System, Action::FollowFeed(Box::new(FollowFeed { member, issuer, step, keys })))
}

fn progress(follower: &House) -> Progress {
    follower.state.member(&service(THEIRS)).unwrap().progress.clone()
}

/// Follows to the end, by the list where the chain doesn't lead on.
pub(crate) fn follow(follower: &mut House, issuer: &State) {
    loop {
        let (cursor, from) = match progress(follower) {
            Progress::Following { at } => match issuer.feed_after(&at) {
                Some((_, to)) if to == at => return,
                Some((entries, to)) => {
                    assert_eq!(step(follower, FollowStep::Entries { at, to, entries }), Outcome::Done);
                    continue;
                }
                None => (Vec::new(), issuer.feed_end()),
            },
            Progress::Reading { next, from, .. } => (next, from),
            _ => (Vec::new(), issuer.feed_end()),
        };
        let page = issuer.feed_page(&cursor).unwrap();
        let page = FollowStep::Page { cursor, from, entries: page.entries, next: page.next };
        assert_eq!(step(follower, page), Outcome::Done);
    }
}

fn ours(issuer: &State) -> BTreeSet<Vec<u8>> {
    issuer.revoked_entries().map(|entry| entry.to_bytes()).collect()
}

fn theirs(follower: &State) -> BTreeSet<Vec<u8>> {
    follower.followed_entries(&service(THEIRS)).map(|entry| entry.to_bytes()).collect()
}

pub(crate) fn restored(state: &State) -> State {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    let restored = State::decode_snapshot(&mut bytes.as_slice()).unwrap();
    assert_eq!(restored.digest(), state.digest());
    restored
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_holds_what_its_issuer_revoked(
        steps in prop::collection::vec((0_u8..8, any::<u8>(), prop::bool::weighted(0.3)), 1..60),
    ) {
        let (mut issuer, mut early) = (issuer(), follower());
        for (kind, number, look) in steps {
            act(&mut issuer, kind, number);
            if look {
                follow(&mut early, &issuer.state);
            }
        }
        let (mut late, mut halfway) = (follower(), follower());
        follow(&mut early, &issuer.state);
        follow(&mut late, &issuer.state);
        // One that restarts from a snapshot goes on like the others, and an issuer that did says the same.
        halfway.state = restored(&early.state);
        issuer.state = restored(&issuer.state);
        act(&mut issuer, 0, 250);
        for follower in [&mut early, &mut late, &mut halfway] {
            follow(follower, &issuer.state);
            prop_assert_eq!(theirs(&follower.state), ours(&issuer.state));
            prop_assert_eq!(progress(follower), Progress::Following { at: issuer.state.feed_end() });
        }
    }

    #[test]
    fn a_flipped_bit_in_what_follows_changes_nothing(number in any::<u8>(), bit in 0_usize..176) {
        let (mut issuer, mut follower) = (issuer(), follower());
        follow(&mut follower, &issuer.state);
        revoke(&mut issuer, number);
        let at = progress(&follower).at().unwrap();
        let (mut entries, to) = issuer.state.feed_after(&at).unwrap();
        let bit = bit % (entries.len() * 8);
        entries[bit / 8] ^= 1 << (bit % 8);
        let refused = step(&mut follower, FollowStep::Entries { at, to, entries });
        prop_assert_eq!(refused.refusal(), Some(&Refusal::FeedBroken { issuer: service(THEIRS) }));
        prop_assert!(theirs(&follower.state).is_empty());
    }
}

#[test]
fn every_replica_of_an_issuer_says_the_same_and_a_list_is_read_in_pages() {
    let (mut issuer, mut follower) = (issuer(), follower());
    for number in 0..3_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let expires_at = Some(1_800_100_000 + u64::from(number % 7));
        let target =
            RevokeTarget::Value(Box::new(PresentedToken { id: TokenId(id), ..token(0, expires_at) }));
        let revoke = RevokeToken { target, cascade: false };
        issuer.apply(Actor::Operator, Action::RevokeToken(Box::new(revoke)));
    }
    let first = issuer.state.feed_page(b"").unwrap();
    assert!(!first.next.is_empty(), "the list has more than one page");
    assert_eq!(first, restored(&issuer.state).feed_page(b"").unwrap());
    assert!(issuer.state.feed_page(b"nonsense").is_none());
    follow(&mut follower, &issuer.state);
    assert_eq!(follower.state.followed_count(&service(THEIRS)), 3_000);
    let bytes = first.entries.len() / FeedEntry::read_all(&first.entries).unwrap().len();
    assert!(bytes <= 22, "{bytes} bytes each");
}

#[test]
fn what_does_not_go_on_from_there_is_refused() {
    let (mut issuer, mut follower) = (issuer(), follower());
    revoke(&mut issuer, 1);
    follow(&mut follower, &issuer.state);
    let moved = Some(Refusal::FeedMoved { issuer: service(THEIRS) });
    let elsewhere = FeedPosition { generation: 1, sequence: 9, hash: [9; 32] };
    let refused =
        step(&mut follower, FollowStep::Entries { at: elsewhere, to: elsewhere, entries: Vec::new() });
    assert_eq!(refused.refusal().cloned(), moved);
    let page =
        FollowStep::Page { cursor: b"x".to_vec(), from: elsewhere, entries: Vec::new(), next: Vec::new() };
    assert_eq!(step(&mut follower, page).refusal().cloned(), moved);
    // What was read under an earlier approval counts no more.
    let stale =
        FollowFeed { keys: Vec::new(), member: 1, issuer: service(THEIRS), step: FollowStep::Contact };
    let refused = follower.apply(Actor::System, Action::FollowFeed(Box::new(stale)));
    assert_eq!(refused.refusal(), Some(&Refusal::MemberUnknown { issuer: service(THEIRS) }));
    let by_hand =
        FollowFeed { keys: Vec::new(), member: 2, issuer: service(THEIRS), step: FollowStep::Contact };
    let admin = Actor::User { name: name("admin") };
    assert!(follower.apply(admin, Action::FollowFeed(Box::new(by_hand))).refusal().is_some());
}

pub(crate) fn trust(follower: &mut House) {
    let trust = TrustIssuer {
        kid: kid("k1"),
        algorithm: Algorithm::EdDsa,
        spki_der: b"their public key".to_vec(),
        certificate_der: b"certificate".to_vec(),
        issuer: service(THEIRS),
        common_name: THEIRS.to_owned(),
        not_after: "7000-01-01".to_owned(),
        limits: circlet_authority::IssuerLimits::default(),
        file_name: "them.crt".to_owned(),
    };
    // Their key is not ours, although the house gives both the same label.
    let trust = TrustIssuer { kid: kid("theirs"), ..trust };
    assert_eq!(follower.apply(Actor::Operator, Action::TrustIssuer(Box::new(trust))), Outcome::Done);
}

fn held(number: u8, expires_at: Option<u64>, index: Option<u64>) -> Verified {
    let token = token(number, expires_at);
    let claims = Claims {
        revocable: token.revocable,
        subject: token.subject,
        scope: Scope::parse("applied-permissions/user").unwrap(),
        audience: Audience::any(),
        issuer: service(THEIRS),
        expires_at,
        issued_at: token.issued_at,
        not_before: None,
        id: Some(token.id),
        index,
    };
    Verified { claims, key: kid("theirs"), algorithm: Algorithm::EdDsa }
}

fn judge(follower: &House, token: &Verified) -> Judgement {
    follower.state.judge(token, follower.now_secs())
}

#[test]
fn a_foreign_revocable_token_is_good_while_its_issuer_is_followed_and_has_not_revoked_it() {
    let (mut issuer, mut follower) = (issuer(), follower());
    trust(&mut follower);
    let member = follower.state.member(&service(THEIRS)).unwrap().since_index;
    let (lives, ends) = (held(1, None, Some(2)), held(4, Some(1_800_100_004), Some(2)));
    let good = Judgement::Good { needs_freshness: true, revocable: true, feed: Some(member) };
    assert_eq!(judge(&follower, &lives), good);
    assert_eq!(judge(&follower, &ends), good);
    revoke(&mut issuer, 4);
    follow(&mut follower, &issuer.state);
    assert_eq!(judge(&follower, &lives), good);
    assert_eq!(judge(&follower, &ends), Judgement::Revoked(Revocation::Listed));
    let forgotten = held(1, None, None);
    let unknown = Judgement::Revoked(Revocation::ForeignRevocable { issuer: service(THEIRS) });
    assert_eq!(judge(&follower, &forgotten), unknown, "it may have been revoked by being forgotten");
    let whom = Whom::Subject(Subject::user(&service(THEIRS), &name("ci")));
    issuer.apply(Actor::Operator, Action::RevokeBefore(RevokeBefore::all_of(whom)));
    follow(&mut follower, &issuer.state);
    assert_eq!(judge(&follower, &lives), Judgement::Revoked(Revocation::Watermark));
    let later = held(1, None, Some(issuer.state.index()));
    assert_eq!(judge(&follower, &later), good, "the index of the issuer's log counts");
    let page = issuer.state.feed_end();
    let tainted = [FeedEntry::Tainted { key: kid("theirs") }];
    let to = page.after_all(&tainted);
    step(&mut follower, FollowStep::Entries { at: page, to, entries: tainted[0].to_bytes() });
    assert_eq!(judge(&follower, &later), Judgement::Revoked(Revocation::KeyTainted { key: kid("theirs") }));
    // Approving anew brings nothing back to life.
    let approve = ApproveMember { approved: approved(), invite: None, mutual: true };
    follower.apply(Actor::Operator, Action::ApproveMember(Box::new(approve)));
    assert_eq!(judge(&follower, &ends), Judgement::Revoked(Revocation::KeyTainted { key: kid("theirs") }));
    let dismiss = DismissMember { issuer: service(THEIRS) };
    follower.apply(Actor::Operator, Action::DismissMember(dismiss));
    let distrusted = Judgement::Distrusted { kid: kid("theirs") };
    assert_eq!(judge(&follower, &lives), distrusted, "the leak took its certificate away");
}

#[test]
fn plain_tokens_of_a_member_are_good_as_long_as_it_is_heard_of() {
    let mut follower = follower();
    trust(&mut follower);
    let mut plain = held(1, Some(1_810_000_000), Some(9));
    plain.claims.revocable = Some(false);
    let good = Judgement::Good { needs_freshness: false, revocable: false, feed: None };
    follower.now_ms += 86_400_000;
    assert_eq!(judge(&follower, &plain), good);
    follower.now_ms += 2_000;
    let silent = Revocation::ForeignIsolated { issuer: service(THEIRS), silent_secs: 86_402 };
    assert_eq!(judge(&follower, &plain), Judgement::Revoked(silent));
    step(&mut follower, FollowStep::Contact);
    assert_eq!(judge(&follower, &plain), good);
}

#[test]
fn a_feed_that_is_too_large_or_contradicts_itself_makes_revocable_tokens_count_as_revoked() {
    let (mut issuer, mut follower) = (issuer(), follower());
    trust(&mut follower);
    let set = |follower: &mut House, most: &str| {
        let mut config = follower.state.config().as_ref().clone();
        config.set("circle.feed-entries-max", most).unwrap();
        follower.apply(Actor::Operator, Action::SetConfig(Box::new(SetConfig { config, if_version: None })));
    };
    follow(&mut follower, &issuer.state);
    set(&mut follower, "2");
    for number in [1, 2, 4] {
        revoke(&mut issuer, number);
    }
    let at = progress(&follower).at().unwrap();
    let (entries, to) = issuer.state.feed_after(&at).unwrap();
    step(&mut follower, FollowStep::Entries { at, to, entries });
    assert!(follower.state.member(&service(THEIRS)).unwrap().over_quota);
    assert!(theirs(&follower.state).is_empty());
    let (token, plain) = (held(9, None, Some(9)), held(9, Some(1_800_000_060), Some(9)));
    let plain = Verified { claims: Claims { revocable: Some(false), ..plain.claims.clone() }, ..plain };
    let unknown = |judgement| matches!(judgement, Judgement::Revoked(Revocation::ForeignUnknown { .. }));
    assert!(unknown(judge(&follower, &token)));
    assert!(matches!(judge(&follower, &plain), Judgement::Good { .. }));
    set(&mut follower, "3");
    follow(&mut follower, &issuer.state);
    assert!(matches!(judge(&follower, &token), Judgement::Good { .. }), "there is room for it now");
    let fault = |proved| FollowStep::Fault { code: "fork".to_owned(), proved, evidence: vec![7; 9_000] };
    step(&mut follower, fault(false));
    step(&mut follower, fault(false));
    let member = follower.state.member(&service(THEIRS)).unwrap();
    let forks: Vec<usize> =
        member.faults.iter().filter(|one| one.code == "fork").map(|one| one.evidence.len()).collect();
    assert_eq!(forks, [1_024]);
    assert!(matches!(judge(&follower, &token), Judgement::Good { .. }), "anybody may have sent that");
    step(&mut follower, fault(true));
    assert!(unknown(judge(&follower, &token)));
    assert!(step(&mut follower, FollowStep::Contact).refusal().is_some(), "only a person mends that");
    let approve = ApproveMember { approved: approved(), invite: None, mutual: true };
    follower.apply(Actor::Operator, Action::ApproveMember(Box::new(approve)));
    assert!(matches!(judge(&follower, &token), Judgement::Good { .. }));
}

#[test]
fn what_expired_is_forgotten_of_the_members_too() {
    let (mut issuer, mut follower) = (issuer(), follower());
    for number in [1, 2, 3] {
        revoke(&mut issuer, number);
    }
    follow(&mut follower, &issuer.state);
    follower.now_ms += 200_000_000;
    let Outcome::Marked { mark, .. } = follower.apply(Actor::System, Action::Purge(Purge::Mark)) else {
        panic!()
    };
    follower.now_ms += 3_600_000;
    follower.apply(Actor::System, Action::Purge(Purge::Remove { mark, elapsed_ms: 3_600_000 }));
    let left = FeedEntry::Listed { expiry: u64::MAX, id: TokenId([3; 16]) };
    assert_eq!(theirs(&follower.state), BTreeSet::from([left.to_bytes()]));
}
