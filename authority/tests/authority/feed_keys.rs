//! Token keys and circle keys that travel in the feed, and what waits for them.

use circlet_authority::{
    Action, Actor, ApproveMember, Approved, CircleKey, DistrustIssuer, FollowStep, IssuerLimits, KeyOrigin,
    KeyState, LimitIssuer, NoteTaken, Outcome, Refusal, ReplaceCircleKey, RevokeForMember, RotateKey,
    SetCircleKey, SetConfig, State, TrustedIssuer,
};
use circlet_token::{
    KeyId, SigningKey, TokenId,
    feed::{FeedEntry, FeedPosition, SUCCESSIONS_MAX, Succession},
};

use crate::feed::{approved, circle_key, follow, follower, issuer, restored, step, trust};
use crate::house::{House, OURS, THEIRS, kid, new_key, sealed, service};

fn turn(issuer: &mut House, rotate: RotateKey) -> Outcome {
    issuer.apply(Actor::Operator, Action::RotateKey(Box::new(rotate)))
}

pub(crate) fn publish(issuer: &mut House, label: &str) {
    let key = Box::new(new_key(label, label, KeyOrigin::Made));
    let replaces = issuer.state.active_key().unwrap().kid.clone();
    let done = turn(issuer, RotateKey::Publish { key, replaces, overlap_secs: None });
    assert_eq!(done, Outcome::Done);
    for node in issuer.state.nodes().map(|node| node.record.id).collect::<Vec<_>>() {
        let confirm = RotateKey::Confirm { kid: kid(label), node };
        issuer.apply(Actor::System, Action::RotateKey(Box::new(confirm)));
    }
}

pub(crate) fn activate(issuer: &mut House, label: &str) -> Outcome {
    let replaces = issuer.state.active_key().unwrap().kid.clone();
    turn(issuer, RotateKey::Activate { kid: kid(label), replaces })
}

fn trusted(follower: &House) -> Vec<KeyId> {
    follower.state.circle().map(|known| known.kid.clone()).collect()
}

fn known<'a>(follower: &'a House, label: &str) -> Option<&'a TrustedIssuer> {
    follower.state.trusted(&kid(label)).map(AsRef::as_ref)
}

fn faults(follower: &House) -> Vec<&str> {
    let member = follower.state.member(&service(THEIRS)).unwrap();
    member.faults.iter().map(|fault| fault.code.as_str()).collect()
}

fn limit(follower: &mut House, label: &str, limits: IssuerLimits) {
    let limit = LimitIssuer { kid: kid(label), limits };
    assert_eq!(follower.apply(Actor::Operator, Action::LimitIssuer(Box::new(limit))), Outcome::Done);
}

/// A house whose first key is its own, unlike that of the others: both houses call theirs `k1`.
pub(crate) fn paired() -> (House, House) {
    let (mut issuer, mut follower) = (issuer(), follower());
    publish(&mut issuer, "first");
    assert_eq!(activate(&mut issuer, "first"), Outcome::Done);
    follow(&mut follower, &issuer.state);
    (issuer, follower)
}

fn say(follower: &mut House, entries: &[FeedEntry]) -> Outcome {
    let at = follower.state.member(&service(THEIRS)).unwrap().progress.at().unwrap();
    let bytes = entries.iter().flat_map(FeedEntry::to_bytes).collect();
    step(follower, FollowStep::Entries { at, to: at.after_all(entries), entries: bytes })
}

fn shown(label: &str) -> FeedEntry {
    FeedEntry::KeyShown { certificate: format!("certificate {label}").into_bytes() }
}

#[test]
fn the_next_key_is_trusted_before_it_signs_under_the_limits_of_the_others() {
    let (mut issuer, mut follower) = paired();
    assert_eq!(trusted(&follower), [kid("first")], "the house's own k1 is ours as well, and refused");
    assert_eq!(faults(&follower), ["key_of_ours"]);
    let limits = IssuerLimits { admin: true, revoke: true, ..IssuerLimits::default() };
    limit(&mut follower, "first", limits.clone());
    publish(&mut issuer, "next");
    follow(&mut follower, &issuer.state);
    let next = known(&follower, "next").unwrap();
    assert_eq!((next.limits.clone(), next.by_feed), (limits, true));
    assert_eq!(issuer.state.next_key().unwrap().kid, kid("next"), "it doesn't sign yet");
    let whole = restored(&follower.state);
    assert_eq!(whole.digest(), follower.state.digest());
    // Of several the narrowest counts.
    limit(&mut follower, "next", IssuerLimits::default());
    assert_eq!(activate(&mut issuer, "next"), Outcome::Done);
    publish(&mut issuer, "third");
    follow(&mut follower, &issuer.state);
    assert_eq!(known(&follower, "third").unwrap().limits, IssuerLimits::default());
}

#[test]
fn what_retires_or_leaks_is_trusted_no_more_and_does_not_come_back() {
    let (mut issuer, mut follower) = paired();
    publish(&mut issuer, "next");
    follow(&mut follower, &issuer.state);
    turn(&mut issuer, RotateKey::Cancel { kid: kid("next") });
    follow(&mut follower, &issuer.state);
    assert_eq!(trusted(&follower), [kid("first")]);
    let admin = IssuerLimits { admin: true, ..IssuerLimits::default() };
    limit(&mut follower, "first", admin.clone());
    // Between the leak of the last key and its successor nothing is trusted, and the limits last.
    say(&mut follower, &[FeedEntry::Tainted { key: kid("first") }]);
    assert_eq!(trusted(&follower), []);
    say(&mut follower, &[shown("another"), shown("first"), shown("next")]);
    assert_eq!(trusted(&follower), [kid("another")]);
    assert_eq!(known(&follower, "another").unwrap().limits, admin);
    // Nor by hand, nor by its file.
    let by_hand = circlet_authority::TrustIssuer {
        kid: kid("first"),
        algorithm: circlet_token::Algorithm::EdDsa,
        spki_der: b"public key first".to_vec(),
        certificate_der: b"certificate first".to_vec(),
        issuer: service(THEIRS),
        common_name: THEIRS.to_owned(),
        not_after: "7000-01-01".to_owned(),
        limits: IssuerLimits::default(),
        file_name: "first.crt".to_owned(),
    };
    let refused = follower.apply(Actor::Operator, Action::TrustIssuer(Box::new(by_hand)));
    let ended = Refusal::KeyEnded { kid: kid("first"), issuer: service(THEIRS) };
    assert_eq!(refused.refusal(), Some(&ended));
    assert_eq!(restored(&follower.state).digest(), follower.state.digest());
}

#[test]
fn what_a_person_distrusts_here_does_not_come_by_the_feed() {
    let (mut issuer, mut follower) = paired();
    publish(&mut issuer, "next");
    follow(&mut follower, &issuer.state);
    let distrust = |follower: &mut House, label: &str| {
        let distrust = DistrustIssuer { kid: kid(label) };
        follower.apply(Actor::Operator, Action::DistrustIssuer(distrust));
    };
    distrust(&mut follower, "next");
    say(&mut follower, &[shown("next")]);
    assert_eq!(trusted(&follower), [kid("first")]);
    distrust(&mut follower, "first");
    say(&mut follower, &[shown("later")]);
    assert_eq!(trusted(&follower), [], "who distrusts the last one wants no further one");
    trust(&mut follower);
    say(&mut follower, &[shown("later")]);
    assert!(known(&follower, "later").is_some(), "a certificate of it is trusted again");
}

#[test]
fn a_key_of_ours_or_of_another_member_or_one_too_many_is_refused_and_kept_as_evidence() {
    let (_, mut follower) = paired();
    let stranger = circlet_authority::TrustIssuer {
        kid: kid("strange"),
        algorithm: circlet_token::Algorithm::EdDsa,
        spki_der: b"public key strange".to_vec(),
        certificate_der: b"certificate strange".to_vec(),
        issuer: service("jfrt@01hq0000000000000000000009"),
        common_name: "stranger".to_owned(),
        not_after: "7000-01-01".to_owned(),
        limits: IssuerLimits::default(),
        file_name: "stranger.crt".to_owned(),
    };
    follower.apply(Actor::Operator, Action::TrustIssuer(Box::new(stranger)));
    let before = trusted(&follower);
    // Under another certificate, and the very certificate.
    say(&mut follower, &[shown("renewed/k1"), shown("strange"), shown("renewed/strange")]);
    assert_eq!(trusted(&follower), before);
    assert_eq!(faults(&follower), ["key_of_ours", "key_of_another"]);
    let member = follower.state.member(&service(THEIRS)).unwrap();
    assert_eq!(member.faults[1].evidence, b"certificate strange");
    let issuer = follower.state.trusted(&kid("strange")).unwrap().issuer.clone();
    assert!(!issuer.same_service(&service(THEIRS)));
    // An issuer ends its own keys only.
    say(
        &mut follower,
        &[FeedEntry::Tainted { key: kid("strange") }, FeedEntry::KeyRetired { key: kid("k1") }],
    );
    assert_eq!(trusted(&follower), before);
    assert!(follower.state.active_key().is_some_and(|key| key.kid == kid("k1")));
    let many: Vec<FeedEntry> = (0..40).map(|number| shown(&format!("many{number}"))).collect();
    say(&mut follower, &many);
    let theirs = follower.state.circle().filter(|known| known.issuer.same_service(&service(THEIRS)));
    assert_eq!(theirs.count(), 16);
    assert_eq!(faults(&follower).last(), Some(&"too_many_keys"));
    // A certificate that the edge could not use comes without its parts.
    let ended: Vec<FeedEntry> =
        (0..40).map(|number| FeedEntry::KeyRetired { key: kid(&format!("many{number}")) }).collect();
    say(&mut follower, &ended);
    let at = follower.state.member(&service(THEIRS)).unwrap().progress.at().unwrap();
    let unusable = [shown("unusable")];
    let follow = circlet_authority::FollowFeed {
        member: follower.state.member(&service(THEIRS)).unwrap().since_index,
        issuer: service(THEIRS),
        step: FollowStep::Entries { at, to: at.after_all(&unusable), entries: unusable[0].to_bytes() },
        keys: Vec::new(),
    };
    follower.apply(Actor::System, Action::FollowFeed(Box::new(follow)));
    assert!(known(&follower, "unusable").is_none());
    assert_eq!(faults(&follower).last(), Some(&"key_unusable"));
}

#[test]
fn keys_that_end_make_room_for_those_that_are_told_before_them() {
    let (_, mut follower) = paired();
    let many: Vec<FeedEntry> = (0..15).map(|number| shown(&format!("many{number}"))).collect();
    say(&mut follower, &many);
    assert_eq!(trusted(&follower).len(), 16, "there is no room for another");
    let ended = (0..9).map(|number| FeedEntry::KeyRetired { key: kid(&format!("many{number}")) });
    let told: Vec<FeedEntry> = [shown("next"), shown("brief")].into_iter().chain(ended).collect();
    say(&mut follower, &[&told[..], &[FeedEntry::KeyRetired { key: kid("brief") }]].concat());
    assert!(known(&follower, "next").is_some());
    assert!(known(&follower, "brief").is_none(), "it had ended when it was told");
    assert_eq!(trusted(&follower).len(), 8);
    assert!(!faults(&follower).contains(&"too_many_keys"));
}

/// An issuer that a member follows: `follower` is its member as well.
fn with_a_member(mutual: bool) -> House {
    let mut issuer = issuer();
    let approved = Approved {
        issuer: service(OURS),
        name: "them".to_owned(),
        circle_key: circle_key(9).spki_der(),
        ..approved()
    };
    let approve = ApproveMember { approved, invite: None, mutual };
    assert_eq!(issuer.apply(Actor::Operator, Action::ApproveMember(Box::new(approve))), Outcome::Done);
    issuer
}

fn note(issuer: &mut House, at: FeedPosition) -> Outcome {
    let member = issuer.state.member(&service(OURS)).unwrap().since_index;
    let note = NoteTaken { issuer: service(OURS), member, at };
    issuer.apply(Actor::System, Action::NoteTaken(note))
}

fn waits(issuer: &House) -> Option<String> {
    issuer.state.key_waits(issuer.state.next_key().unwrap(), issuer.now_ms)
}

#[test]
fn a_key_signs_once_every_member_has_it_or_was_waited_for() {
    let mut issuer = with_a_member(true);
    let before = issuer.state.feed_end();
    publish(&mut issuer, "next");
    let why = "not yet taken over by these members of the circle: them; they are waited for 86400 s more";
    assert_eq!(waits(&issuer).as_deref(), Some(why));
    let refused = Refusal::KeyNotReady { kid: kid("next"), why: why.to_owned() };
    assert_eq!(activate(&mut issuer, "next").refusal(), Some(&refused));
    // What was before, or is not our feed, is no news.
    let member = issuer.state.member(&service(OURS)).unwrap().as_ref().clone();
    let end = issuer.state.feed_end();
    let other = FeedPosition { hash: [7; 32], ..end };
    assert!(issuer.state.news_of(&member, &before).is_none());
    assert!(issuer.state.news_of(&member, &other).is_none());
    assert_eq!(issuer.state.news_of(&member, &end).map(|key| key.kid.clone()), Some(kid("next")));
    assert_eq!(note(&mut issuer, before), Outcome::Done);
    assert!(note(&mut issuer, other).refusal().is_some());
    assert_eq!(waits(&issuer).as_deref(), Some(why));
    assert_eq!(note(&mut issuer, end), Outcome::Done);
    assert_eq!(waits(&issuer), None);
    assert_eq!(restored(&issuer.state).digest(), issuer.state.digest());
    assert_eq!(activate(&mut issuer, "next"), Outcome::Done);
    // Only the node may vouch for the signature.
    let by_hand = NoteTaken { issuer: service(OURS), member: member.since_index, at: end };
    assert!(issuer.apply(Actor::Operator, Action::NoteTaken(by_hand)).refusal().is_some());
}

#[test]
fn a_member_that_is_away_holds_a_key_back_for_so_long_and_a_leak_not_at_all() {
    let mut issuer = with_a_member(true);
    publish(&mut issuer, "next");
    let mut config = issuer.state.config().as_ref().clone();
    config.set("circle.key-wait", "600").unwrap();
    issuer.apply(Actor::Operator, Action::SetConfig(Box::new(SetConfig { config, if_version: None })));
    issuer.now_ms += 599_000;
    assert!(waits(&issuer).is_some());
    issuer.now_ms += 2_000;
    assert_eq!(waits(&issuer), None);
    assert_eq!(activate(&mut issuer, "next"), Outcome::Done);
    publish(&mut issuer, "third");
    assert!(waits(&issuer).is_some());
    assert_eq!(turn(&mut issuer, RotateKey::Taint { kid: kid("next"), next: None }), Outcome::Done);
    assert_eq!(issuer.state.key(&kid("third")).unwrap().state, KeyState::Active);
}

#[test]
fn who_does_not_follow_us_is_not_waited_for() {
    let mut issuer = with_a_member(false);
    publish(&mut issuer, "next");
    assert_eq!(waits(&issuer), None);
}

#[test]
fn a_leak_tells_the_successor_before_the_leaked_key() {
    let mut issuer = issuer();
    let at = issuer.state.feed_end();
    let next = Some(Box::new(new_key("next", "next", KeyOrigin::Made)));
    turn(&mut issuer, RotateKey::Taint { kid: kid("k1"), next });
    let (entries, _) = issuer.state.feed_after(&at).unwrap();
    let told =
        [shown("next"), FeedEntry::KeyActive { key: kid("next") }, FeedEntry::Tainted { key: kid("k1") }];
    assert_eq!(FeedEntry::read_all(&entries).unwrap(), told);
}

fn named(issuer: &str, seed: u8, next: u8) -> Succession {
    let key = SigningKey::from_ed25519_seed(&[seed; 32]);
    Succession::sign(&key, &service(issuer), circle_key(next)).unwrap()
}

fn replace(issuer: &mut House, seed: u8, next: u8) -> Outcome {
    let replace = ReplaceCircleKey { succession: named(THEIRS, seed, next), private_key: sealed("next") };
    issuer.apply(Actor::Operator, Action::ReplaceCircleKey(Box::new(replace)))
}

fn with_circle_key() -> House {
    let mut issuer = with_a_member(true);
    assert_eq!(replace(&mut issuer, 1, 2).refusal(), Some(&Refusal::NoCircleKey));
    let key =
        CircleKey { spki_der: circle_key(1).spki_der(), private_key: sealed("key"), successions: Vec::new() };
    issuer.apply(Actor::System, Action::SetCircleKey(Box::new(SetCircleKey { key })));
    issuer
}

fn successions(state: &State) -> Vec<Succession> {
    state.circle_key().unwrap().successions.clone()
}

#[test]
fn our_circle_key_is_replaced_by_the_word_of_the_one_before() {
    let mut issuer = with_circle_key();
    let at = issuer.state.feed_end();
    assert_eq!(replace(&mut issuer, 1, 2), Outcome::Done);
    assert_eq!(replace(&mut issuer, 1, 2), Outcome::Done, "a retry");
    assert_eq!(
        replace(&mut issuer, 1, 3).refusal(),
        Some(&Refusal::CircleKeyReplaced),
        "of two the first counts"
    );
    let taken = Refusal::Taken { what: "the circle key".to_owned() };
    assert_eq!(replace(&mut issuer, 2, 1).refusal(), Some(&taken), "an earlier one");
    assert_eq!(replace(&mut issuer, 2, 9).refusal(), Some(&taken), "a member's");
    assert_eq!(successions(&issuer.state), [named(THEIRS, 1, 2)]);
    let (entries, _) = issuer.state.feed_after(&at).unwrap();
    let told = FeedEntry::CircleKey(Box::new(named(THEIRS, 1, 2)));
    assert_eq!(FeedEntry::read_all(&entries).unwrap(), [told]);
    for seed in
        (2..=u8::try_from(SUCCESSIONS_MAX).unwrap()).map(|seed| if seed < 9 { seed } else { seed + 1 })
    {
        let next = if seed == 8 { 10 } else { seed + 1 };
        assert_eq!(replace(&mut issuer, seed, next), Outcome::Done, "{seed}");
    }
    let last = u8::try_from(SUCCESSIONS_MAX + 2).unwrap();
    let full = replace(&mut issuer, last, last + 1);
    assert!(matches!(full.refusal(), Some(Refusal::LimitReached { .. })), "{full:?}");
    assert_eq!(restored(&issuer.state).digest(), issuer.state.digest());
}

#[test]
fn the_next_circle_key_of_a_member_is_believed_once_and_belongs_to_it_alone() {
    let mut follower = follower();
    let keys = |successions: &[Succession]| FollowStep::CircleKeys { successions: successions.to_vec() };
    let (first, second) = (named(THEIRS, 1, 2), named(THEIRS, 2, 3));
    assert_eq!(step(&mut follower, keys(&[first, second])), Outcome::Done);
    let member = follower.state.member(&service(THEIRS)).unwrap();
    assert_eq!(member.circle_key(), Some(circle_key(3)));
    for late in [first, second, named(THEIRS, 1, 4), named(THEIRS, 3, 1)] {
        assert!(step(&mut follower, keys(&[late])).refusal().is_some(), "{late:?}");
    }
    let key =
        CircleKey { spki_der: circle_key(5).spki_der(), private_key: sealed("key"), successions: Vec::new() };
    follower.apply(Actor::System, Action::SetCircleKey(Box::new(SetCircleKey { key })));
    let taken = Refusal::Taken { what: "the circle key".to_owned() };
    let ours = step(&mut follower, keys(&[named(THEIRS, 3, 5)]));
    assert_eq!(ours.refusal(), Some(&taken));
    // Nor can another cluster come with a key that the member had before.
    let other = Approved { issuer: service("jfrt@01hq0000000000000000000009"), ..approved() };
    let approve = ApproveMember { approved: other, invite: None, mutual: true };
    let refused = follower.apply(Actor::Operator, Action::ApproveMember(Box::new(approve)));
    assert_eq!(refused.refusal(), Some(&taken));
    assert_eq!(restored(&follower.state).digest(), follower.state.digest());
}

#[test]
fn a_member_revokes_here_only_what_its_limits_allow() {
    let mut issuer = with_a_member(true);
    let member = issuer.state.member(&service(OURS)).unwrap().since_index;
    let id = TokenId([1; 16]);
    let ask = |issuer: &mut House, by: Actor, member: u64| {
        let revoke = RevokeForMember { issuer: service(OURS), member, id, cascade: false };
        issuer.apply(by, Action::RevokeForMember(revoke))
    };
    let not_allowed = Refusal::MemberMayNotRevoke { issuer: service(OURS) };
    assert_eq!(ask(&mut issuer, Actor::System, member).refusal(), Some(&not_allowed));
    let trust = circlet_authority::TrustIssuer {
        kid: kid("theirs"),
        algorithm: circlet_token::Algorithm::EdDsa,
        spki_der: b"public key theirs".to_vec(),
        certificate_der: b"certificate theirs".to_vec(),
        issuer: service(OURS),
        common_name: OURS.to_owned(),
        not_after: "7000-01-01".to_owned(),
        limits: IssuerLimits::default(),
        file_name: "theirs.crt".to_owned(),
    };
    issuer.apply(Actor::Operator, Action::TrustIssuer(Box::new(trust)));
    assert_eq!(ask(&mut issuer, Actor::System, member).refusal(), Some(&not_allowed), "not by default");
    limit(&mut issuer, "theirs", IssuerLimits { revoke: true, ..IssuerLimits::default() });
    assert!(ask(&mut issuer, Actor::Operator, member).refusal().is_some(), "only a node hears members");
    let unknown = Refusal::MemberUnknown { issuer: service(OURS) };
    assert_eq!(ask(&mut issuer, Actor::System, member + 1).refusal(), Some(&unknown));
    let done = ask(&mut issuer, Actor::System, member);
    assert!(matches!(done, Outcome::Revoked(_)), "{done:?}");
    assert!(issuer.state.was_revoked(&id));
}
