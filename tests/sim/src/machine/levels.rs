//! The feature level, as a node comes to it, and what others say that they support.

use circlet_authority::{FeatureLevel, Outcome, Stamp, State};

use crate::history::Event;
use crate::scope::{self, Scope};

/// Tells the level of a state, where it is another than before.
pub(super) fn tell(scope: &Scope, before: Option<&State>, after: &State) {
    let level = after.feature_level();
    if before.is_none_or(|before| before.feature_level() != level) {
        scope.history().note_level(level);
        let (node, index, version) = (scope.node(), after.index(), scope.version());
        scope.history().tell(&Event::Level { node, index, level, version });
    }
}

/// An entry could not be applied: the level that it may have come with is known all the same.
pub(super) fn note_met(before: &State, index: u64, stamp_ms: u64, command: &[u8]) {
    let (Some(scope), Ok(command)) = (scope::current(), circlet_authority::Command::decode(command)) else {
        return;
    };
    let mut state = before.clone();
    state.apply(index, Stamp { now_ms: stamp_ms }, &command);
    scope.history().note_level(state.feature_level());
}

/// Tells what was said of the level, which was not refused.
pub(super) fn tell_change(scope: &Scope, after: &State, change: &FeatureLevel) {
    let (node, index) = (scope.node(), after.index());
    scope.history().tell(&match *change {
        FeatureLevel::Support { node: of, level: supports } => Event::Said { node, index, of, supports },
        FeatureLevel::Raise { to } => {
            let nodes = after.nodes().map(|known| known.record.id).collect();
            Event::Rose { node, index, to, nodes }
        }
    });
}

/// Tells that a node was let in which wasn't known.
pub(super) fn tell_let_in(
    scope: &Scope,
    (before, after): (&State, &State),
    outcome: &Outcome,
    supports: u32,
) {
    let Outcome::Joined { node: of } = *outcome else { return };
    if before.node(of).is_none() {
        let (node, index, level) = (scope.node(), after.index(), before.feature_level());
        scope.history().tell(&Event::LetIn { node, index, of, supports, level });
    }
}
