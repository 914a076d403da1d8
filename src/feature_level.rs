//! Which of the cluster's formats this version reads and writes, and what nodes do so that the level rises.

use circlet_authority::{FeatureLevel, State};

pub use crate::version::supported;

/// A cluster that writes what this version doesn't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the cluster writes at feature level {level}, and circlet {} reads up to {}; run the newer version here that its other \
     nodes run",
    env!("CARGO_PKG_VERSION"),
    supported()
)]
pub struct TooNew {
    /// The level that was met.
    pub level: u32,
}

/// Whether this version reads what a cluster in this state writes.
pub fn check(state: &State) -> Result<(), TooNew> {
    let level = state.feature_level();
    if level > supported() { Err(TooNew { level }) } else { Ok(()) }
}

/// What a node tells the cluster next, or has it decide if it leads.
#[must_use]
pub fn due(view: &State, node: u64, leads: bool) -> Option<FeatureLevel> {
    unsaid(view, node).or_else(|| overdue(view).filter(|_| leads))
}

/// What this node supports, if the cluster believes something else. The view may be of before: then what it holds is
/// said again, which changes nothing.
fn unsaid(view: &State, node: u64) -> Option<FeatureLevel> {
    let level = supported();
    (view.node(node)?.supports != level).then_some(FeatureLevel::Support { node, level })
}

/// The level that all support, if it is higher than the present.
fn overdue(view: &State) -> Option<FeatureLevel> {
    let to = view.supported_by_all()?;
    (to > view.feature_level()).then_some(FeatureLevel::Raise { to })
}
