//! What a cluster refuses, kept outside of it, and the tokens that live on because of it.

use circlet_authority::{
    Action, Actor, Command, DeleteUser, DistrustIssuer, FeatureLevel, FloorFact, FloorRecord, Judgement,
    KeyState, NoNextGeneration, Outcome, Picture, Purge, PutMode, PutUser, RefreshOverrides, RefreshToken,
    Refusal, RevokeBefore, RevokeTarget, RevokeToken, RotateKey, SetConfig, Stamp, State, TokenRecord,
    UserStatus, Whom, invariant,
};
use circlet_token::{Lifetime, Scope, Subject};
use proptest::{collection::vec, prelude::*};

use crate::{
    feed,
    house::{House, OURS, START_MS, THEIRS, hash, kid, name, new_key, service, token_id},
    next_generation::{issue, next, trusting},
    properties::{World, step},
};

const REQUIRED: &str = "revocation-floor.required";

/// A floor as one node keeps it, beside a state that moves on.
struct Floor {
    seen: State,
    picture: Picture,
}

impl Floor {
    fn new(state: &State) -> Self {
        Self { seen: state.clone(), picture: Picture::of(state) }
    }

    /// Learns what changed, through bytes; how many facts that were.
    fn follow(&mut self, state: &State) -> usize {
        let facts: Vec<FloorFact> = state.floor_changes(&self.seen).collect();
        let count = facts.len();
        assert!(!state.floor_is_same(&self.seen) || count == 0, "{facts:?}");
        let tokens_until = state.floor_tokens_until();
        if count > 0 || tokens_until > self.picture.tokens_until() {
            let record = FloorRecord { index: state.index(), more: false, tokens_until, facts };
            let read = FloorRecord::decode(&record.encode()).unwrap();
            assert_eq!(read, record);
            self.picture.learn(read);
        }
        self.seen = state.clone();
        count
    }
}

fn is_good(state: &State, record: &TokenRecord, now_ms: u64) -> bool {
    matches!(state.judge(&World::verified(record), now_ms / 1_000), Judgement::Good { .. })
}

fn admin() -> Actor {
    Actor::User { name: name("admin") }
}

fn require(on: bool, state: &State) -> Action {
    let mut config = state.config().as_ref().clone();
    config.set(REQUIRED, if on { "true" } else { "false" }).unwrap();
    Action::SetConfig(Box::new(SetConfig { config, if_version: None }))
}

/// A house at the feature level of floors, which requires one.
fn house() -> House {
    let mut house = House::new();
    house.apply(Actor::System, Action::FeatureLevel(FeatureLevel::Support { node: 1, level: 3 }));
    house.apply(Actor::System, Action::FeatureLevel(FeatureLevel::Raise { to: 3 }));
    let on = require(true, &house.state);
    assert_eq!(house.apply(admin(), on), Outcome::Configured { version: 2 });
    house
}

fn issued(house: &mut House, label: &str, lifetime: Lifetime) -> TokenRecord {
    match house.apply(admin(), issue(label, lifetime)) {
        Outcome::Issued(record) => *record,
        other => panic!("{other:?}"),
    }
}

fn revoke(house: &mut House, record: &TokenRecord) {
    let target = RevokeTarget::Id(record.id);
    let outcome = house.apply(admin(), Action::RevokeToken(Box::new(RevokeToken { target, cascade: false })));
    assert!(matches!(outcome, Outcome::Revoked(_)), "{outcome:?}");
}

fn put(house: &mut House, who: &str, change: impl FnOnce(&mut PutUser)) {
    let mut put = PutUser::new(name(who), PutMode::CreateOrUpdate);
    change(&mut put);
    assert_eq!(house.apply(admin(), Action::PutUser(Box::new(put))), Outcome::Done);
}

fn restored(backup: &State, floor: &Picture) -> State {
    let state = backup.next_generation_on(&next("k9", OURS, START_MS + 50_000), floor).unwrap();
    assert_eq!(invariant::check(&state), []);
    feed::restored(&state)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn on_a_floor_what_was_refused_is_refused_and_everything_else_lives_on(
        before in vec(step(), 1..60),
        after in vec(step(), 1..60),
        every in 1_usize..9,
    ) {
        let mut world = World::new();
        let mut floor = Floor::new(&world.state);
        for step in &before {
            world.take(step);
        }
        let backup = world.state.archived();
        for (number, step) in after.iter().enumerate() {
            world.take(step);
            if number % every == 0 {
                floor.follow(&world.state);
            }
        }
        let early = floor.picture.clone();
        floor.follow(&world.state);
        prop_assert_eq!(floor.picture.contradicts(&backup), None);

        let (state, now_ms) = (&world.state, world.now_ms);
        let next = next("fresh", OURS, now_ms);
        let restored = backup.next_generation_on(&next, &floor.picture);
        if matches!(restored, Err(NoNextGeneration::NobodyAdministers { .. })) {
            return Ok(());
        }
        let restored = restored.unwrap();
        prop_assert_eq!(invariant::check(&restored), []);
        // A node that is left may have more than its floor, which lags.
        let recovered = state.next_generation_on(&next, &early).unwrap();
        prop_assert_eq!(invariant::check(&recovered), []);
        for record in &world.issued {
            let was_good = is_good(state, record, now_ms);
            let expired = record.expires_at.is_some_and(|at| at <= now_ms / 1_000);
            prop_assert!(was_good || expired || !is_good(&restored, record, now_ms), "{record:?}");
            prop_assert!(was_good || expired || !is_good(&recovered, record, now_ms), "{record:?}");
            let user = record.subject.user_name().and_then(|name| restored.user(&self::name(name)));
            let acts = user.map_or(!record.scope.is_user(), |user| user.is_enabled());
            prop_assert!(!was_good || expired || !acts || is_good(&restored, record, now_ms), "{record:?}");
        }
    }

    /// However the changes are put together, the picture is the one of the state.
    #[test]
    fn a_picture_that_followed_is_the_picture_of_the_state(steps in vec(step(), 1..80), every in 1_usize..6) {
        let mut world = World::new();
        let mut floor = Floor::new(&world.state);
        for (number, step) in steps.iter().enumerate() {
            world.take(step);
            if number % every == 0 {
                floor.follow(&world.state);
            }
        }
        floor.follow(&world.state);
        let whole = Picture::of(&world.state);
        // What has expired stays until a picture is begun anew, so only what refuses more can differ.
        prop_assert!(floor.picture.revoked_count() >= whole.revoked_count());
        prop_assert_eq!(floor.picture.head(), whole.head());
        prop_assert!(floor.picture.nodes().eq(whole.nodes()));
        prop_assert_eq!(floor.picture.contradicts(&world.state), None);
    }
}

#[test]
fn creating_tokens_changes_nothing_in_the_picture() {
    let mut house = house();
    issued(&mut house, "first", Lifetime::from_secs(40_000));
    let mut floor = Floor::new(&house.state);
    for label in ["a", "b", "c"] {
        let record = issued(&mut house, label, Lifetime::from_secs(30_000));
        assert!(house.state.floor_is_same(&floor.seen));
        assert_eq!(floor.follow(&house.state), 0);
        assert!(record.expires_at.unwrap() <= floor.picture.tokens_until());
    }
    assert!(floor.picture.index() < house.state.index());
    let record = issued(&mut house, "d", Lifetime::FOREVER);
    assert!(!house.state.floor_is_same(&floor.seen), "its end is later");
    floor.follow(&house.state);
    assert_eq!(floor.picture.tokens_until(), u64::MAX);
    revoke(&mut house, &record);
    assert_eq!(floor.follow(&house.state), 1);
}

#[test]
fn what_changed_there_and_back_shows_in_the_picture() {
    let mut house = house();
    put(&mut house, "alice", |_| {});
    let changes: [fn(&mut House); 3] = [
        |house| {
            for status in [UserStatus::Disabled, UserStatus::Enabled] {
                put(house, "alice", |put| put.status = Some(status));
            }
        },
        |house| {
            house.apply(admin(), Action::DeleteUser(DeleteUser { name: name("alice") }));
            put(house, "alice", |_| {});
        },
        |house| {
            for on in [false, true] {
                let action = require(on, &house.state);
                house.apply(admin(), action);
            }
        },
    ];
    for change in changes {
        let before = Picture::of(&house.state);
        change(&mut house);
        assert_ne!(before.head(), Picture::of(&house.state).head());
    }
}

#[test]
fn what_was_revoked_after_the_backup_is_refused_and_the_rest_lives_on() {
    let mut house = house();
    put(&mut house, "alice", |put| put.admin = Some(true));
    put(&mut house, "bob", |_| {});
    let kept = issued(&mut house, "kept", Lifetime::FOREVER);
    let revoked = issued(&mut house, "revoked", Lifetime::FOREVER);
    house.apply(Actor::Operator, Action::TrustIssuer(Box::new(trusting("theirs", THEIRS))));
    let backup = house.state.archived();
    let mut floor = Floor::new(&house.state);

    revoke(&mut house, &revoked);
    let late = issued(&mut house, "late", Lifetime::from_secs(100_000));
    let marked = match house.apply(admin(), issue("marked", Lifetime::FOREVER)) {
        Outcome::Issued(record) => *record,
        other => panic!("{other:?}"),
    };
    put(&mut house, "bob", |put| put.status = Some(UserStatus::Disabled));
    put(&mut house, "carol", |put| put.status = Some(UserStatus::Disabled));
    house.apply(admin(), Action::DeleteUser(DeleteUser { name: name("alice") }));
    house.apply(admin(), Action::DistrustIssuer(DistrustIssuer { kid: kid("theirs") }));
    let taint = RotateKey::Taint {
        kid: kid("k1"),
        next: Some(Box::new(new_key("k2", "k2", circlet_authority::KeyOrigin::Made))),
    };
    let untainted = house.state.clone();
    house.apply(Actor::System, Action::RotateKey(Box::new(taint)));
    let by_k2 = issued(&mut house, "by k2", Lifetime::from_secs(100_000));
    floor.follow(&untainted);
    let state = restored(&backup, &floor.picture);
    let now_ms = START_MS + 50_000;
    assert!(
        is_good(&state, &kept, now_ms) && is_good(&state, &late, now_ms) && is_good(&state, &marked, now_ms)
    );
    assert!(!is_good(&state, &revoked, now_ms));
    assert!(!is_good(&state, &by_k2, now_ms), "its key came after the floor ended");
    assert!(state.user(&name("alice")).is_none(), "who was deleted since is gone");
    assert!(!state.user(&name("bob")).unwrap().is_enabled());
    assert!(state.trusted(&kid("theirs")).is_none() && state.distrusted_at(&kid("theirs")).is_some());
    let of = |who: &str| TokenRecord {
        subject: Subject::user(&service(OURS), &name(who)),
        scope: Scope::parse("api:*").unwrap(),
        ..late.clone()
    };
    assert!(is_good(&state, &of("nobody"), now_ms), "who needs no account");
    let carols = of("carol");
    assert!(!is_good(&state, &carols, now_ms), "who came and was disabled since is nobody here");
    assert_eq!(state.token_count(), 0);

    // And with the key that leaked only what the next one signed.
    floor.follow(&house.state);
    let state = restored(&backup, &floor.picture);
    assert!(!is_good(&state, &kept, now_ms) && is_good(&state, &by_k2, now_ms));
    assert_eq!(state.key(&kid("k1")).map(|key| key.state), Some(KeyState::Tainted));
    assert_eq!(state.key(&kid("k2")).map(|key| key.state), Some(KeyState::Retiring));
    assert!(!state.may_sign(&kid("k2")));

    // And nothing at all by a watermark on everyone.
    house.apply(
        admin(),
        Action::RevokeBefore(RevokeBefore { whom: Whom::Everyone, since: None, until: None }),
    );
    floor.follow(&house.state);
    assert!(!is_good(&restored(&backup, &floor.picture), &by_k2, now_ms));
}

#[test]
fn refresh_tokens_of_before_are_void_and_a_node_that_lives_on_issues_nothing_that_counts() {
    let mut house = house();
    let action = match issue("t", Lifetime::from_secs(100_000)) {
        Action::IssueToken(issue) => Action::IssueToken(Box::new(circlet_authority::IssueToken {
            family: Some(crate::house::family_id("f")),
            ..*issue
        })),
        other => other,
    };
    let Outcome::Issued(record) = house.apply(admin(), action) else { panic!("not issued") };
    let mut state = restored(&house.state.archived(), &Picture::of(&house.state));
    let now_ms = START_MS + 50_000;
    assert!(is_good(&state, &record, now_ms));
    let (family, sequence) = record.family.unwrap();
    let refresh = RefreshToken {
        family,
        sequence,
        access: Some(record.id),
        request_digest: hash("request"),
        successor_id: token_id("successor"),
        reference: None,
        overrides: RefreshOverrides::default(),
    };
    let command = Command { actor: Actor::RefreshPair, action: Action::RefreshToken(Box::new(refresh)) };
    let outcome = state.apply(state.index() + 1, Stamp { now_ms }, &command);
    assert_eq!(outcome.refusal(), Some(&Refusal::RefreshUnknown));
    let by_a_ghost = TokenRecord { issued_at: now_ms / 1_000 + 1, ..record.as_ref().clone() };
    assert!(!is_good(&state, &by_a_ghost, now_ms + 2_000));
}

#[test]
fn earlier_tokens_can_be_revoked_by_id_and_what_refuses_them_outlives_the_purge() {
    let mut house = house();
    put(&mut house, "alice", |_| {});
    let long = issued(&mut house, "long", Lifetime::from_secs(1_000_000));
    let subject = Subject::user(&service(OURS), &name("alice"));
    let alices = TokenRecord { id: token_id("alice's"), subject: subject.clone(), ..long.clone() };
    let marks = RevokeBefore { whom: Whom::Subject(subject), since: None, until: None };
    house.apply(admin(), Action::RevokeBefore(marks));
    let mut state = restored(&house.state.archived(), &Picture::of(&house.state));
    let mut now_ms = START_MS + 50_000;
    assert!(is_good(&state, &long, now_ms) && !is_good(&state, &alices, now_ms));
    let apply = |state: &mut State, now_ms: u64, action: Action| {
        state.apply(state.index() + 1, Stamp { now_ms }, &Command { actor: Actor::System, action })
    };
    let target = RevokeTarget::Id(long.id);
    let revoke = Action::RevokeToken(Box::new(RevokeToken { target, cascade: false }));
    let outcome = apply(&mut state, now_ms, revoke);
    assert!(matches!(outcome, Outcome::Revoked(_)), "{outcome:?}");
    assert!(!is_good(&state, &long, now_ms));
    // Halfway through its life nothing has been forgotten, and its key is needed.
    now_ms += 500_000_000;
    let Outcome::Marked { mark, .. } = apply(&mut state, now_ms, Action::Purge(Purge::Mark)) else {
        panic!("not marked")
    };
    now_ms += 10_000_000;
    apply(&mut state, now_ms, Action::Purge(Purge::Remove { mark, elapsed_ms: 10_000_000 }));
    assert!(!is_good(&state, &long, now_ms) && !is_good(&state, &alices, now_ms));
    let retire = |vouched| Action::RotateKey(Box::new(RotateKey::Retire { kid: kid("k1"), vouched }));
    let early = apply(&mut state, now_ms, retire(false));
    assert!(matches!(early.refusal(), Some(Refusal::KeyNeeded { .. })), "{early:?}");
    now_ms += 800_000_000;
    assert_eq!(apply(&mut state, now_ms, retire(false)), Outcome::Done);
}

#[test]
fn a_key_of_tokens_without_an_end_retires_when_somebody_vouches() {
    let mut house = house();
    issued(&mut house, "for ever", Lifetime::FOREVER);
    let mut state = restored(&house.state.archived(), &Picture::of(&house.state));
    let now_ms = START_MS + 900_000_000_000;
    for (vouched, retires) in [(false, false), (true, true)] {
        let action = Action::RotateKey(Box::new(RotateKey::Retire { kid: kid("k1"), vouched }));
        let outcome =
            state.apply(state.index() + 1, Stamp { now_ms }, &Command { actor: Actor::System, action });
        assert_eq!(outcome == Outcome::Done, retires, "{outcome:?}");
    }
}

#[test]
fn tokens_live_through_one_generation_after_the_other_as_long_as_each_has_a_floor() {
    let mut house = house();
    let record = issued(&mut house, "t", Lifetime::FOREVER);
    let again = |state: &State, label: &str| {
        let now_ms = state.now_ms() + 10_000;
        state.archived().next_generation_on(&next(label, OURS, now_ms), &Picture::of(state)).unwrap()
    };
    let second = again(&house.state, "k8");
    let third = again(&second, "k9");
    assert!(is_good(&second, &record, second.now_ms()) && is_good(&third, &record, third.now_ms()));
    let without = house.state.next_generation(&next("k8", OURS, START_MS + 10_000)).unwrap();
    assert!(!is_good(&again(&without, "k9"), &record, START_MS + 90_000));
}

#[test]
fn a_floor_belongs_to_one_cluster_and_to_where_its_log_was() {
    let mut house = house();
    let early = Picture::of(&house.state);
    let backup = house.state.archived();
    assert_eq!(early.contradicts(&backup), None);
    issued(&mut house, "t", Lifetime::from_secs(100_000));
    assert_eq!(early.contradicts(&house.state.archived()), None, "nothing that it holds has changed");
    put(&mut house, "alice", |_| {});
    let why = early.contradicts(&house.state.archived()).unwrap();
    assert!(why.contains("not the files that the nodes wrote last"), "{why}");
    assert_eq!(Picture::of(&house.state).contradicts(&backup), None);
    let other = House::of(THEIRS);
    assert!(Picture::of(&other.state).contradicts(&backup).unwrap().contains("the floor is of cluster"));
    let differently = backup.next_generation_on(&next("k9", THEIRS, START_MS), &early);
    assert!(matches!(differently, Err(NoNextGeneration::CalledDifferently { .. })), "{differently:?}");
}

#[test]
fn a_floor_is_required_from_its_feature_level_on() {
    let mut house = House::new();
    let on = require(true, &house.state);
    let refused = house.apply(admin(), on.clone());
    assert!(matches!(refused.refusal(), Some(Refusal::ConfigInvalid { .. })), "{refused:?}");
    // Below it the setting is not written at all, so that an older version reads the configuration.
    let off = Command { actor: admin(), action: require(false, &house.state) }.encode();
    let on = Command { actor: admin(), action: on }.encode();
    assert_eq!(on.len(), off.len() + 2);
}

#[test]
fn what_must_be_on_the_floor_before_it_is_acknowledged() {
    let mut house = house();
    assert_eq!(house.state.floor_due(70), 70);
    let off = require(false, &house.state);
    house.apply(admin(), off);
    // A floor that still says so would vouch for what it can't know.
    let since = house.state.index();
    assert_eq!(house.state.floor_due(70), since);
    assert_eq!(House::new().state.floor_due(70), 0);
}
