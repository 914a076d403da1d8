//! Vectors of secrets that are turned over.

use std::collections::{BTreeMap, BTreeSet};

use circlet_authority::{Action, Actor, DeclareLost, ReplaceSecrets, Resealed, SealedKind, TurnMasterKey};

use crate::house::{House, bootstrap, kid, new_key, node, sealed, sealed_under};

/// Every action on secrets.
pub(super) fn actions() -> Vec<(&'static str, Action)> {
    let fingerprint = [7; 32];
    let turn = |turn| Action::TurnMasterKey(Box::new(turn));
    let announce = TurnMasterKey::Announce { fingerprint, replaces: [9; 32], node: 1, patience_secs: 900 };
    let kinds = [
        SealedKind::TokenKey(kid("k1")),
        SealedKind::ClusterCa,
        SealedKind::RefreshSecret,
        SealedKind::CircleKey,
    ];
    let replaces = [7; 24];
    let resealed = |which| (which, Resealed { replaces, sealed: sealed_under("resealed", fingerprint) });
    let secrets = kinds.into_iter().map(resealed).collect();
    let replace = ReplaceSecrets {
        ca_replaces: b"ca".to_vec(),
        ca: bootstrap().cluster_ca,
        refresh_secret: sealed("another refresh secret"),
        key: new_key("k8", "k8", circlet_authority::KeyOrigin::Made),
    };
    vec![
        ("turn-master-key-switch", turn(TurnMasterKey::Switch { fingerprint })),
        ("turn-master-key-announce", turn(announce)),
        ("turn-master-key-hold", turn(TurnMasterKey::Hold { fingerprint, node: 1 })),
        ("turn-master-key-reseal", turn(TurnMasterKey::Reseal { fingerprint, secrets })),
        ("declare-lost", Action::DeclareLost(DeclareLost { node: 300 })),
        ("replace-secrets", Action::ReplaceSecrets(Box::new(replace))),
    ]
}

/// A node is lost, its master key is replaced, and another one is on its way.
pub(super) fn happen(house: &mut House) {
    let members = |ids: &[u64]| -> BTreeMap<_, _> {
        ids.iter().map(|id| (*id, node(&format!("n{id}"), *id))).collect()
    };
    let take_over = |house: &mut House, ids: &[u64]| {
        let index = house.state.index() + 1;
        house.state.set_members(index, &members(ids), &BTreeSet::from([1]));
    };
    take_over(house, &[1, 300]);
    take_over(house, &[1]);
    let turn = |turn| Action::TurnMasterKey(Box::new(turn));
    let patience_secs = 900;
    house.apply(Actor::System, Action::DeclareLost(DeclareLost { node: 300 }));
    for (replaces, fingerprint) in [([9; 32], [6; 32]), ([6; 32], [5; 32])] {
        let announce = TurnMasterKey::Announce { fingerprint, replaces, node: 1, patience_secs };
        house.apply(Actor::System, turn(announce));
        let resealed = |which: SealedKind| {
            let replaces = house.state.sealed(&which)?.nonce;
            Some((which, Resealed { replaces, sealed: sealed_under("resealed", fingerprint) }))
        };
        let secrets = house.state.not_resealed().into_iter().filter_map(resealed).collect();
        house.apply(Actor::System, turn(TurnMasterKey::Reseal { fingerprint, secrets }));
        if fingerprint == [6; 32] {
            house.apply(Actor::System, turn(TurnMasterKey::Switch { fingerprint }));
        }
    }
}
