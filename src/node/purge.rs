//! Forgets what has expired, in two steps: the leader marks, and removes only after the margin has passed on its own
//! boot clock as well, so that no one wall clock makes a needed revocation vanish.

use std::time::Duration;

use circlet_authority::{Action, Actor, Outcome, Purge};
use circlet_raft::Role;

use crate::clock;
use crate::cluster::{Cluster, Unavailable};

/// How often the leader marks.
const INTERVAL: Duration = Duration::from_mins(10);
/// How often a node looks whether it is the leader, and whether a mark is old enough.
const LOOK: Duration = Duration::from_secs(30);

/// A mark that this node made while it was the leader.
#[derive(Debug, Clone, Copy)]
struct Mark {
    index: u64,
    at_boot_ms: u64,
}

/// Marks and removes while this node leads. Never returns.
pub(super) async fn run(cluster: Cluster) {
    let mut mark = None;
    loop {
        tokio::time::sleep(LOOK).await;
        if cluster.status().role != Role::Leader {
            // Whoever leads now makes a mark of its own.
            mark = None;
            continue;
        }
        let step = match mark {
            None => make_mark(&cluster).await.map(Some),
            Some(made) => remove(&cluster, made).await,
        };
        match step {
            Ok(next) => mark = next,
            Err(error) => tracing::warn!(%error, "what has expired could not be purged"),
        }
    }
}

async fn make_mark(cluster: &Cluster) -> Result<Mark, Unavailable> {
    let decided = cluster.decide(Actor::System, Action::Purge(Purge::Mark)).await?;
    let index = if let Outcome::Marked { mark, .. } = decided.outcome { mark } else { decided.index };
    // Read after it was decided: the margin begins no earlier than the mark.
    Ok(Mark { index, at_boot_ms: clock::boot_ms() })
}

/// Removes until nothing marked is left; the mark stays until its margin has passed.
async fn remove(cluster: &Cluster, mark: Mark) -> Result<Option<Mark>, Unavailable> {
    let margin_secs = cluster.published().view.config().purge_margin;
    let margin_ms = u64::try_from(margin_secs).unwrap_or(0).saturating_mul(1000);
    let elapsed_ms = clock::boot_ms().saturating_sub(mark.at_boot_ms);
    if elapsed_ms < margin_ms.max(u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX)) {
        return Ok(Some(mark));
    }
    loop {
        let purge = Purge::Remove { mark: mark.index, elapsed_ms };
        match cluster.decide(Actor::System, Action::Purge(purge)).await?.outcome {
            Outcome::Purged { removed, more } => {
                tracing::info!(removed, more, "purged what has expired");
                if !more {
                    return Ok(None);
                }
            }
            Outcome::Refused(refusal) => {
                tracing::warn!(%refusal, "the purge was refused");
                return Ok(None);
            }
            _ => return Ok(None),
        }
    }
}
