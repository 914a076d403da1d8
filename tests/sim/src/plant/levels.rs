//! Planted bugs around feature levels, the nodes of versions that don't support them, and those that have no vote.

use std::io::Read;

use circlet_authority::{Action, Command, FeatureLevel, Outcome, Stamp, State};
use circlet_raft::{Machine, NodeId};

use super::Plant;
use super::states::{HEAD, bytes_of, joined, records};
use crate::authority::Authority;
use crate::scope;
use crate::version;

fn has(plant: Plant) -> bool {
    scope::current().is_some_and(|scope| scope.history().plant() == plant)
}

/// A snapshot as a node takes it up: one that plays along asks for no level.
pub(crate) fn in_place_of_restore(snapshot: &mut dyn Read) -> Result<Authority, String> {
    if !has(Plant::PlaysAlong) {
        return Authority::restore(snapshot);
    }
    State::decode_snapshot(snapshot).map(Authority::of).map_err(|error| error.to_string())
}

/// The same of an entry.
pub(super) fn applied_unchecked(
    before: &State,
    index: u64,
    stamp_ms: u64,
    command: &Command,
) -> (Authority, Vec<u8>) {
    let mut state = before.clone();
    let outcome: Outcome = state.apply(index, Stamp { now_ms: stamp_ms }, command);
    (Authority::of(state), outcome.encode())
}

/// Which level the replica goes by when it writes to others.
pub(crate) fn feature_level(view: &State) -> u32 {
    if has(Plant::EarlyTraces) { version::next() } else { Authority::feature_level(view) }
}

/// Whether a node may be given a vote, by this view.
pub(crate) fn may_vote(view: &State, id: NodeId) -> bool {
    has(Plant::EveryoneVotes) || Authority::may_vote(view, id)
}

/// The command as if whoever says how much it supports supported everything.
pub(super) fn supporting_all(command: &[u8]) -> Option<Vec<u8>> {
    with_support(command, |_| version::next())
}

/// The command as if whoever joins supported what the cluster has come to.
pub(super) fn supporting_present(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let action = Command::decode(command).ok()?.action;
    let joins = matches!(action, Action::AdmitNode(_) | Action::AdmitByKey(_));
    joins.then(|| with_support(command, |supports| supports.max(view.feature_level()))).flatten()
}

fn with_support(command: &[u8], of: impl Fn(u32) -> u32) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let supports = match &mut command.action {
        Action::FeatureLevel(FeatureLevel::Support { level, .. }) => level,
        Action::AdmitNode(admit) => &mut admit.supports,
        Action::AdmitByKey(admit) => &mut admit.supports,
        _ => return None,
    };
    *supports = of(*supports);
    Some(command.encode())
}

/// The same state at the first level.
pub(super) fn at_first_level(state: &State) -> Option<State> {
    let whole = bytes_of(state).ok()?;
    let mut head = records(&whole)?.into_iter().find(|record| record.first() == Some(&HEAD))?.to_vec();
    // The tag, the index and the time come first, as numbers of as many bytes as they need.
    let at = (0..2).try_fold(1, |at, _| Some(at + bytes_of_number(*head.get(at)?)))?;
    *head.get_mut(at)? = 1;
    let mut all = records(&whole)?;
    all.retain(|record| record.first() != Some(&HEAD));
    all.insert(0, &head);
    State::decode_snapshot(&mut joined(&whole, &all)?.as_slice()).ok()
}

/// How many bytes a number takes that begins with this one.
fn bytes_of_number(first: u8) -> usize {
    match first {
        251 => 3,
        252 => 5,
        253 => 9,
        _ => 1,
    }
}
