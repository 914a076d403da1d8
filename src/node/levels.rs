//! A node's part in raising the level at which all of them write.

use std::time::Duration;

use circlet_authority::{Action, Actor, FeatureLevel, Outcome, State};
use circlet_raft::Role;

use crate::cluster::{Cluster, Decided};
use crate::feature_level::supported;

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(250);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(2);

/// Says what this node supports, and raises the level while it leads. Never returns.
pub(super) async fn run(cluster: Cluster) {
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
    match cluster.decide_for_itself(Actor::System, Action::FeatureLevel(change)).await {
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
