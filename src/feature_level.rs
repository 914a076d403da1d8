//! Which of the cluster's formats this version reads and writes, and the node's part in raising the level at which all of
//! them write.
//!
//! | level | from then on |
//! |---|---|
//! | 1 | everything but what follows |
//! | 2 | a proposal that is forwarded to the leader carries the trace of its request |

use std::sync::LazyLock;
use std::time::Duration;

use circlet_authority::{Action, Actor, FeatureLevel, Outcome, State};
use circlet_raft::Role;

use crate::cluster::{Cluster, Decided};

/// The highest level that this version knows.
const HIGHEST: u32 = 2;

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(250);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(2);

/// The highest level that this node supports. In debug builds a test may say another, to run two versions beside each
/// other that are one.
#[must_use]
pub fn supported() -> u32 {
    static SUPPORTED: LazyLock<u32> = LazyLock::new(|| {
        let other = std::env::var("CIRCLET_TEST_FEATURE_LEVEL").ok().filter(|_| cfg!(debug_assertions));
        other.and_then(|level| level.parse().ok()).unwrap_or(HIGHEST)
    });
    *SUPPORTED
}

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

/// Says what this node supports, and raises the level while it leads. Never returns.
pub(crate) async fn run(cluster: Cluster) {
    loop {
        tokio::time::sleep(LOOK).await;
        let status = cluster.status();
        let change = {
            let view = &cluster.published().view;
            unsaid(view, status.id).or_else(|| due(view).filter(|_| status.role == Role::Leader))
        };
        let Some(change) = change else { continue };
        if !carry_out(&cluster, change).await {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What this node supports, if the cluster believes something else. The view may be of before: then what it holds is
/// said again, which changes nothing.
fn unsaid(view: &State, id: u64) -> Option<FeatureLevel> {
    let node = view.node(id)?;
    let level = supported();
    (node.supports != level).then_some(FeatureLevel::Support { node: id, level })
}

/// The level that all support, if it is higher than the present.
fn due(view: &State) -> Option<FeatureLevel> {
    let to = view.supported_by_all()?;
    (to > view.feature_level()).then_some(FeatureLevel::Raise { to })
}

/// Whether it was done.
async fn carry_out(cluster: &Cluster, change: FeatureLevel) -> bool {
    match cluster.decide(Actor::System, Action::FeatureLevel(change)).await {
        Ok(Decided { outcome: Outcome::Refused(refusal), .. }) => {
            tracing::info!(%refusal, ?change, "the feature level stays");
            false
        }
        Ok(decided) => {
            match change {
                FeatureLevel::Raise { to } => {
                    tracing::info!(
                        index = decided.index,
                        "the cluster writes at feature level {to} from now on"
                    );
                }
                FeatureLevel::Support { level, .. } => {
                    tracing::info!(index = decided.index, "this node supports feature level {level}");
                }
            }
            true
        }
        Err(error) => {
            tracing::debug!(%error, ?change, "the feature level could not be told");
            false
        }
    }
}
