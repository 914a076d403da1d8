//! A node's part in raising the level at which all of them write.

use std::time::Duration;

use circlet_authority::{Action, Actor, FeatureLevel, Outcome};
use circlet_raft::Role;

use crate::cluster::{Cluster, Decided};
use crate::feature_level;

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
            feature_level::due(view, status.id, status.role == Role::Leader)
        };
        let Some(change) = change else { continue };
        if !carry_out(&cluster, change).await {
            tokio::time::sleep(RETRY).await;
        }
    }
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
