//! What is left of a cluster when it is restored from a backup, or recovered from one node.

use circlet_authority::{
    Action, Actor, AdmitNode, ClusterCa, Command, Generation, IssueToken, IssuerLimits, Judgement, KeyOrigin,
    KeyState, NewKey, NextGeneration, NoNextGeneration, Outcome, RefreshOverrides, RefreshToken, Refusal,
    RotateKey, Stamp, State, TokenRecord, TrustIssuer, invariant,
};
use circlet_token::{Algorithm, Audience, Claims, Lifetime, Scope, Subject, Verified};
use proptest::{collection::vec, prelude::*};

use crate::{
    house::{House, OURS, START_MS, THEIRS, hash, kid, name, new_key, node, sealed, service, token_id},
    properties::{World, step},
};

const OTHER: &str = "jfrt@01hq0000000000000000000009";

pub(crate) fn next(label: &str, service_id: &str, now_ms: u64) -> NextGeneration {
    NextGeneration {
        service_id: service(service_id),
        now_ms,
        key: new_key(label, label, KeyOrigin::Made),
        cluster_ca: ClusterCa { certificate_der: b"new ca".to_vec(), private_key: sealed("new ca key") },
        refresh_secret: sealed("new refresh secret"),
        master_key_fingerprint: [9; 32],
        founder: node("n9", 0),
    }
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).unwrap();
    bytes
}

fn is_good(state: &State, record: &TokenRecord, now_ms: u64) -> bool {
    matches!(state.judge(&World::verified(record), now_ms / 1_000), Judgement::Good { .. })
}

/// What the log of the new generation says to a command of the old one.
fn refused(state: &State, actor: Actor, action: Action) -> Option<Refusal> {
    let outcome =
        state.clone().apply(state.index() + 1, Stamp { now_ms: state.now_ms() }, &Command { actor, action });
    outcome.refusal().cloned()
}

fn refresh(record: &TokenRecord) -> Option<Action> {
    let (family, sequence) = record.family?;
    Some(Action::RefreshToken(Box::new(RefreshToken {
        family,
        sequence,
        access: Some(record.id),
        request_digest: hash("request"),
        successor_id: token_id("successor"),
        reference: None,
        overrides: RefreshOverrides::default(),
    })))
}

pub(crate) fn issue(label: &str, lifetime: Lifetime) -> Action {
    Action::IssueToken(Box::new(IssueToken {
        id: token_id(label),
        generation: Generation::Access,
        subject: Subject::user(&service(OURS), &name("admin")),
        scope: Scope::parse("applied-permissions/user").unwrap(),
        audience: Audience::any(),
        lifetime,
        force_revocable: false,
        description: None,
        reference: None,
        family: None,
        owner: Some(name("admin")),
        idempotency: None,
        request_digest: [0; 32],
    }))
}

fn contains(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

fn publish(key: NewKey, state: &State) -> Action {
    let replaces = state.active_key().unwrap().kid.clone();
    Action::RotateKey(Box::new(RotateKey::Publish { key: Box::new(key), replaces, overlap_secs: None }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_nothing_that_was_issued_lives_on(
        before in vec(step(), 1..80),
        after in vec(step(), 0..40),
        late in 0_u64..100_000,
    ) {
        let mut world = World::new();
        for step in &before {
            world.take(step);
        }
        let backup = world.state.archived();
        let known = world.issued.len();
        for step in &after {
            world.take(step);
        }

        let now_ms = world.now_ms + late;
        let restored = backup.next_generation(&next("fresh", OURS, now_ms)).unwrap();
        prop_assert_eq!(invariant::check(&restored), []);
        for record in &world.issued {
            prop_assert!(!is_good(&restored, record, now_ms), "{record:?}");
            if let Some(action) = refresh(record) {
                prop_assert_eq!(refused(&restored, Actor::RefreshPair, action), Some(Refusal::RefreshUnknown));
            }
        }
        prop_assert_eq!(restored.token_count(), 0);
        let admit = AdmitNode {
            join_token: hash("secret 1"),
            name: "late".to_owned(),
            peer_address: "late:1".to_owned(),
            client_url: String::new(),
            public_key: hash("late"),
            votes: true,
            supports: 1,
        };
        let joined = refused(&restored, Actor::System, Action::AdmitNode(Box::new(admit)));
        prop_assert_eq!(joined, Some(Refusal::JoinTokenUnknown));

        // A node that was recovered in place of the backup begins in the same way.
        let recovered = world.state.next_generation(&next("fresh", OURS, now_ms)).unwrap();
        prop_assert!(known <= world.issued.len());
        for record in &world.issued {
            prop_assert!(!is_good(&recovered, record, now_ms), "{record:?}");
        }
        let archived = world.state.archived().next_generation(&next("fresh", OURS, now_ms)).unwrap();
        prop_assert_eq!(archived.digest(), recovered.digest());
    }

    #[test]
    fn people_trust_and_settings_live_on_and_a_backup_survives_its_bytes(steps in vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        let before = &world.state;
        let bytes = bytes_of(&before.archived());
        for secret in ["private key", "ca key", "refresh secret"] {
            prop_assert!(contains(&bytes_of(before), secret), "{secret}");
            prop_assert!(!contains(&bytes, secret), "{secret}");
        }
        let backup = State::decode_snapshot(&mut bytes.as_slice()).unwrap();
        let after = backup.next_generation(&next("fresh", OURS, world.now_ms)).unwrap();
        prop_assert!(before.users().eq(after.users()));
        prop_assert!(before.groups().eq(after.groups()));
        prop_assert!(before.circle().eq(after.circle()));
        prop_assert_eq!(before.config(), after.config());
        prop_assert_eq!(before.config_version(), after.config_version());
        let again = State::decode_snapshot(&mut bytes_of(&after).as_slice()).unwrap();
        prop_assert_eq!(again.digest(), after.digest());
    }
}

#[test]
fn a_generation_begins_beyond_every_index_and_after_every_second_of_the_one_before() {
    let mut house = House::new();
    house.now_ms += 60_000;
    house.apply(Actor::System, Action::Purge(circlet_authority::Purge::Mark));
    let first = house.state.next_generation(&next("a", OURS, START_MS)).unwrap();
    assert_eq!(first.index(), 1_000_000_000_000);
    assert_eq!(first.now_ms(), START_MS + 60_000, "time never goes back");
    assert_eq!(first.nodes().map(|node| node.record.id).collect::<Vec<_>>(), [1_000_000_000_000]);
    let second = first.next_generation(&next("b", OURS, START_MS)).unwrap();
    assert_eq!(second.index(), 2_000_000_000_000);
    assert!(house.state.generation() < first.generation() && first.generation() < second.generation());
    // Two that begin from the same backup differ too.
    let twin = house.state.next_generation(&next("c", OURS, START_MS + 90_000)).unwrap();
    assert_ne!(twin.generation(), first.generation());
}

#[test]
fn what_the_new_generation_issues_is_good() {
    let house = House::new();
    let mut state = house.state.next_generation(&next("k9", OURS, START_MS)).unwrap();
    let command =
        Command { actor: Actor::User { name: name("admin") }, action: issue("t", Lifetime::FOREVER) };
    let outcome = state.apply(state.index() + 1, Stamp { now_ms: START_MS }, &command);
    let Outcome::Issued(record) = outcome else { panic!("{outcome:?}") };
    assert_eq!(record.kid, kid("k9"));
    assert!(is_good(&state, &record, START_MS));
    assert_eq!(state.key(&kid("k1")).map(|key| key.state), Some(KeyState::Retired));
}

#[test]
fn a_key_of_before_never_comes_back_under_any_certificate() {
    let house = House::new();
    let state = house.state.next_generation(&next("k9", OURS, START_MS)).unwrap();
    for key in [new_key("k1", "k1", KeyOrigin::Adopted), new_key("renewed", "k1", KeyOrigin::Adopted)] {
        let found = refused(&state, Actor::System, publish(key.clone(), &state));
        assert!(matches!(found, Some(Refusal::KeyState { .. })), "{found:?}");
        let next = NextGeneration { key, ..next("k9", OURS, START_MS) };
        let again = house.state.next_generation(&next);
        assert!(matches!(again, Err(NoNextGeneration::KeyKnown { .. })), "{again:?}");
    }
}

/// A pair that was adopted after the backup, and that its operator places once more.
#[test]
fn a_key_that_the_backup_does_not_know_brings_no_token_back() {
    let mut house = House::new();
    let backup = house.state.archived();
    let pair = new_key("k2", "k2", KeyOrigin::Adopted);
    let adopt = |state: &State| publish(pair.clone(), state);
    let activate = |state: &State| {
        let replaces = state.active_key().unwrap().kid.clone();
        Action::RotateKey(Box::new(RotateKey::Activate { kid: kid("k2"), replaces }))
    };
    house.now_ms += 1_000_000;
    for action in [adopt(&house.state), activate(&house.state)] {
        house.now_ms += 1_000_000;
        assert_eq!(house.apply(Actor::System, action), Outcome::Done);
    }
    let issued = house.apply(Actor::User { name: name("admin") }, issue("t", Lifetime::FOREVER));
    let Outcome::Issued(record) = issued else { panic!("{issued:?}") };
    assert_eq!(record.kid, kid("k2"));
    // The clock of whoever restores is behind: only the index tells.
    let mut state = backup.next_generation(&next("k9", OURS, START_MS)).unwrap();
    let command = Command { actor: Actor::System, action: adopt(&state) };
    let index = state.index() + 1;
    assert_eq!(state.apply(index, Stamp { now_ms: START_MS }, &command), Outcome::Done);
    assert!(!is_good(&state, &record, house.now_ms));
}

#[test]
fn beside_a_cluster_that_lives_it_is_another_cluster_which_may_trust_the_first() {
    let house = House::new();
    let state = house.state.next_generation(&next("k9", OTHER, START_MS)).unwrap();
    assert_eq!(state.service_id(), Some(&service(OTHER)));
    assert_eq!(state.keyring().count(), 1);
    let mut trust = trusting("k1", OURS);
    trust.spki_der = b"public key k1".to_vec();
    assert_eq!(refused(&state, Actor::Operator, Action::TrustIssuer(Box::new(trust))), None);
}

#[test]
fn it_is_not_called_like_a_trusted_issuer_nor_made_of_nothing() {
    let mut house = House::new();
    house.apply(Actor::Operator, Action::TrustIssuer(Box::new(trusting("theirs", THEIRS))));
    let found = house.state.next_generation(&next("k9", THEIRS, START_MS));
    assert_eq!(found.err(), Some(NoNextGeneration::IssuerTaken { issuer: service(THEIRS) }));
    let found = State::new().next_generation(&next("k9", OURS, START_MS));
    assert_eq!(found.err(), Some(NoNextGeneration::NotFounded));
}

#[test]
fn tokens_of_others_from_before_are_refused_since_their_revocation_may_be_lost() {
    let mut house = House::new();
    house.apply(Actor::Operator, Action::TrustIssuer(Box::new(trusting("theirs", THEIRS))));
    let held = |issued_at: u64| Verified {
        claims: Claims {
            revocable: None,
            subject: Subject::user(&service(THEIRS), &name("bob")),
            scope: Scope::parse("api:*").unwrap(),
            audience: Audience::any(),
            issuer: service(THEIRS),
            expires_at: Some(issued_at + 3_600),
            issued_at,
            not_before: None,
            id: Some(token_id("f")),
            index: None,
        },
        key: kid("theirs"),
        algorithm: Algorithm::EdDsa,
    };
    let now = START_MS / 1_000;
    let good =
        |state: &State, issued_at| matches!(state.judge(&held(issued_at), now + 10), Judgement::Good { .. });
    let state = house.state.next_generation(&next("k9", OURS, START_MS + 5_000)).unwrap();
    assert!(good(&house.state, now) && good(&house.state, now + 6));
    assert!(!good(&state, now) && !good(&state, now + 5) && good(&state, now + 6));
}

pub(crate) fn trusting(label: &str, issuer: &str) -> TrustIssuer {
    TrustIssuer {
        kid: kid(label),
        algorithm: Algorithm::EdDsa,
        spki_der: label.as_bytes().to_vec(),
        certificate_der: Vec::new(),
        issuer: service(issuer),
        common_name: issuer.to_owned(),
        not_after: String::new(),
        limits: IssuerLimits::default(),
        file_name: format!("{label}.crt"),
    }
}
