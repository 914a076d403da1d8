//! The product's machine over the authority's state, watched: what it applies is told to the history.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use circlet_authority::State;
use circlet_raft::replica::Replica;
use circlet_raft::state_machine::StateMachine;
use circlet_raft::{Capture, Machine, NodeId, Peer, Removal};
use sha2::{Digest, Sha256};

use crate::authority::Authority;
use crate::history::Event;
use crate::plant;
use crate::runtime::NodeRuntime;
use crate::scope;

mod changes;
mod circle;
mod descendants;
mod ends;
mod forgetting;
mod guests;
mod importing;
mod keys;
mod levels;
mod master_keys;
mod overstepping;
mod refreshing;

pub(crate) use overstepping::tell_given;

/// A replica as the simulator runs it.
pub type Member = Replica<Watched, NodeRuntime, StateMachine<NodeRuntime, Watched>>;

/// Descendants of a revoked token that one command looks at.
const CASCADE_STEP: usize = 1;

/// The product's machine, and a word to the history after each step.
pub struct Watched(Authority);

impl Watched {
    /// A cascade takes several commands with the few tokens that there are.
    fn of(machine: Authority) -> Self {
        Self(Authority::of(machine.into_state().with_cascade_step(CASCADE_STEP)))
    }

    fn tell(&self, index: u64, step: &[&[u8]]) {
        let Some(scope) = scope::current() else { return };
        let sum = step.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
        let view = self.0.view();
        scope.note_applied();
        scope.history().midst().see(&view);
        scope.history().note_staleness(&view);
        let node = scope.node();
        let now_ms = view.now_ms();
        scope.history().tell(&Event::Applied { node, index, sum: first_word(&sum), now_ms });
        if scope.history().compares_at(index) {
            tell_whole(&scope, &view);
        }
    }
}

/// Has the whole state of a node compared with what others had at that index, and checked by its own rules.
pub fn tell_whole(scope: &scope::Scope, view: &State) {
    let node = scope.node();
    scope.history().tell(&Event::Whole { node, index: view.index(), sum: first_word(&view.digest()) });
    for violation in circlet_authority::invariant::check(view) {
        scope.history().tell(&Event::Unsound { node, index: view.index(), what: violation.to_string() });
    }
}

/// The beginning of a digest: enough to tell states apart, short enough to read.
#[must_use]
pub fn first_word(digest: &[u8]) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Machine for Watched {
    type View = State;

    fn empty() -> Self {
        Self::of(Authority::empty())
    }

    fn restore(snapshot: &mut dyn Read) -> Result<Self, String> {
        let restored = Self::of(plant::in_place_of_restore(snapshot)?);
        if let Some(scope) = scope::current() {
            scope.note_applied();
            tell_whole(&scope, &restored.0.view());
            levels::tell(&scope, None, &restored.0.view());
            keys::tell(&scope, None, &restored.0.view());
            master_keys::tell(&scope, None, &restored.0.view());
            circle::tell_whole(&scope, &restored.0.view());
        }
        Ok(restored)
    }

    fn capture(&self) -> Capture {
        let whole = self.0.capture();
        Box::new(move |out| {
            let mut state = Vec::new();
            whole(&mut state)?;
            out.write_all(&plant::in_snapshot(state))
        })
    }

    fn apply(&mut self, index: u64, stamp_ms: u64, command: &[u8]) -> Result<Vec<u8>, String> {
        let before = self.0.view();
        let entry = command;
        let (stamp_ms, command) = plant::before_apply(&before, stamp_ms, command);
        let outcome = match plant::in_place_of_apply(&before, index, stamp_ms, &command)? {
            Some((other, outcome)) => {
                *self = Self::of(other);
                outcome
            }
            None => self
                .0
                .apply(index, stamp_ms, &command)
                .inspect_err(|_| levels::note_met(&before, index, stamp_ms, &command))?,
        };
        if let Some(other) = plant::after_apply(&before, &self.0, &command, &outcome)? {
            *self = Self::of(other);
        }
        let outcome = plant::in_outcome(&self.0.view(), &command, outcome);
        if let Some(scope) = scope::current() {
            levels::tell(&scope, Some(&before), &self.0.view());
        }
        changes::tell(&before, &self.0.view(), entry, &outcome);
        self.tell(index, &[&stamp_ms.to_be_bytes(), &command, &outcome]);
        Ok(outcome)
    }

    fn members(&mut self, index: u64, peers: &BTreeMap<NodeId, Peer>, voters: &BTreeSet<NodeId>) {
        self.0.members(index, peers, voters);
        let ids: Vec<u8> = peers.keys().chain(voters).flat_map(|id| id.to_be_bytes()).collect();
        self.tell(index, &[&ids]);
        if let Some(scope) = scope::current() {
            let keys = peers.iter().map(|(id, peer)| (*id, first_word(&peer.public_key))).collect();
            let voters = voters.iter().copied().collect();
            scope.history().tell(&Event::Members { node: scope.node(), index, keys, voters });
        }
    }

    fn view(&self) -> Arc<State> {
        self.0.view()
    }

    fn dry_run(view: &State, stamp_ms: u64, command: &[u8]) -> Result<(), String> {
        Authority::dry_run(view, stamp_ms, command)
    }

    fn feature_level(view: &State) -> u32 {
        plant::feature_level(view)
    }

    fn now_ms(view: &State) -> u64 {
        Authority::now_ms(view)
    }

    fn admitted(view: &State) -> Vec<(NodeId, Peer)> {
        Authority::admitted(view)
    }

    fn may_vote(view: &State, id: NodeId) -> bool {
        plant::may_vote(view, id)
    }

    fn removed(view: &State, id: NodeId) -> Option<Removal> {
        Authority::removed(view, id)
    }

    fn digest(view: &State) -> [u8; 32] {
        Authority::digest(view)
    }
}
