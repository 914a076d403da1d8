//! What an entry changed for the master key: which one is in force, who said to have the next, and whether all that is sealed
//! opens under it.

use circlet_authority::{NodeRole, SealedKind, State, TurnMasterKey};
use sha2::{Digest, Sha256};

use crate::history::Event;
use crate::machine::first_word;
use crate::scope::Scope;

/// Who said to have a master key on its disk.
pub(super) fn tell_promise(scope: &Scope, turn: &TurnMasterKey) {
    if let TurnMasterKey::Announce { fingerprint, node, .. } | TurnMasterKey::Hold { fingerprint, node } =
        turn
    {
        scope.history().tell(&Event::KeyPromised { node: *node, key: first_word(fingerprint) });
    }
}

/// Which master key is in force, if that is new, and what doesn't open under it.
pub(super) fn tell(scope: &Scope, before: Option<&State>, after: &State) {
    let (node, index) = (scope.node(), after.index());
    let Some(present) = after.master_key_fingerprint() else { return };
    if before.and_then(State::master_key_fingerprint) != Some(present) {
        let voters = before.into_iter().flat_map(State::nodes).filter(|node| node.role == NodeRole::Voter);
        let voters = voters.map(|node| node.record.id).collect();
        scope.history().tell(&Event::MasterKey { node, index, key: first_word(&present), voters });
    }
    let Some(master) = scope.history().master_key(&present) else { return };
    let mut sums = vec![first_word(&present)];
    for which in after.sealed_kinds() {
        let secret = after.sealed(&which).and_then(|sealed| master.open(&which, sealed));
        match secret {
            None => scope.history().tell(&Event::Shut { node, index, what: format!("{which:?}") }),
            // Another cluster has to let go of it.
            Some(_) if which == SealedKind::CircleKey => {}
            Some(secret) => sums.push(first_word(&Sha256::digest(&secret))),
        }
    }
    let lost = after.lost_nodes().filter(|lost| lost.replaced.is_some()).map(|lost| lost.id).collect();
    scope.history().tell(&Event::Secrets { node, index, sums, lost });
}
