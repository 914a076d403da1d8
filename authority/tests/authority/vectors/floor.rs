//! The bytes of what is kept on floors.

use std::collections::BTreeSet;

use circlet_authority::{Action, Actor, FeatureLevel, FloorFact, FloorRecord, RevokeBefore, State, Whom};

use super::{frozen, furnished, kid, name};
use crate::house::{House, hash, token_id};

/// The furnished house, where a floor is required and was not for a while.
pub(super) fn required() -> House {
    let mut house = furnished();
    let admin = || Actor::User { name: name("admin") };
    for node in house.state.nodes().map(|node| node.record.id).collect::<Vec<_>>() {
        house.apply(Actor::System, Action::FeatureLevel(FeatureLevel::Support { node, level: 3 }));
    }
    house.apply(Actor::System, Action::FeatureLevel(FeatureLevel::Raise { to: 3 }));
    for on in ["true", "false", "true"] {
        let mut config = house.state.config().as_ref().clone();
        config.set("revocation-floor.required", on).unwrap();
        let set = circlet_authority::SetConfig { config, if_version: None };
        house.apply(admin(), Action::SetConfig(Box::new(set)));
    }
    assert!(house.state.floor_is_required());
    house
}

#[test]
fn every_record_of_a_floor_keeps_its_bytes() {
    let mut house = required();
    let admin = || Actor::User { name: name("admin") };
    let mut facts: Vec<FloorFact> = house.state.floor_changes(&State::new()).collect();
    let before = house.state.clone();
    let marks = RevokeBefore { whom: Whom::Everyone, since: None, until: None };
    house.apply(admin(), Action::RevokeBefore(marks));
    facts.extend(house.state.floor_changes(&before));
    facts.extend([
        FloorFact::UserGone(name("gone")),
        FloorFact::TrustedGone(kid("gone")),
        FloorFact::DistrustedGone(kid("gone")),
        FloorFact::Listed { expiry: u64::MAX, id: token_id("listed") },
        FloorFact::NodeGone(5),
    ]);
    // One of each kind.
    let mut kinds = BTreeSet::new();
    let tag = |fact: &FloorFact| {
        let record = FloorRecord { index: 0, more: false, tokens_until: 0, facts: vec![fact.clone()] };
        record.encode()[5]
    };
    facts.retain(|fact| kinds.insert(tag(fact)));
    assert_eq!(kinds.into_iter().collect::<Vec<u8>>(), (1..=13).collect::<Vec<u8>>(), "a fact has no vector");
    let record = FloorRecord { index: 5, more: true, tokens_until: u64::MAX, facts };
    let bytes = record.encode();
    assert_eq!(FloorRecord::decode(&bytes).as_ref(), Ok(&record));
    for secret in ["private key", "ca key", "refresh secret", "$argon2id"] {
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
    assert!(!bytes.windows(32).any(|part| part == hash("secret")), "a join token");
    frozen("floor.hex", &[("record".to_owned(), bytes)]);
}
