//! Forgets what has expired, in two steps: the leader marks, and removes only after the margin has passed on its own
//! boot clock as well, so that no one wall clock makes a needed revocation vanish.

use std::time::Duration;

use circlet_authority::{Action, Actor, Outcome};
use circlet_raft::Role;

use crate::clock;
use crate::cluster::{Cluster, Unavailable};

pub mod round;

use round::Round;

/// How often the leader marks.
const INTERVAL: Duration = Duration::from_mins(10);
/// How often a node looks whether it is the leader, and whether a mark is old enough.
const LOOK: Duration = Duration::from_secs(30);

/// Marks and removes while this node leads. Never returns.
pub(super) async fn run(cluster: Cluster) {
    let mut round = Round::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let mut more = true;
        while more {
            let done = step(&cluster, &mut round).await;
            more = done
                .inspect_err(|error| tracing::warn!(%error, "what has expired could not be purged"))
                .unwrap_or(false);
        }
    }
}

/// Does what is due. True if there is more to remove.
async fn step(cluster: &Cluster, round: &mut Round) -> Result<bool, Unavailable> {
    let leads = cluster.status().role == Role::Leader;
    let margin_secs = cluster.published().view.config().purge_margin;
    let margin_ms = u64::try_from(margin_secs).unwrap_or(0).saturating_mul(1000);
    let interval_ms = u64::try_from(INTERVAL.as_millis()).unwrap_or(u64::MAX);
    let Some(purge) = round.next(leads, margin_ms, interval_ms, clock::boot_ms()) else { return Ok(false) };
    let outcome = cluster.decide_for_itself(Actor::System, Action::Purge(purge)).await?.outcome;
    round.decided(&outcome, clock::boot_ms());
    match outcome {
        Outcome::Purged { removed, more } => {
            tracing::info!(removed, more, "purged what has expired");
            Ok(more)
        }
        Outcome::Refused(refusal) => {
            tracing::warn!(%refusal, "the purge was refused");
            Ok(false)
        }
        _ => Ok(false),
    }
}
