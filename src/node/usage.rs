//! Tells the cluster now and then which recorded tokens were used on this node.

use std::time::Duration;

use circlet_authority::limits::USES_MAX;
use circlet_authority::{Action, Actor, NoteUse};
use circlet_token::TokenId;

use crate::authenticate::usage::Usage;
use crate::clock;
use crate::cluster::Cluster;

/// How often the node looks whether it is time, at most.
const LOOK: Duration = Duration::from_secs(10);

/// Tells every `token.last-used-interval`. Never returns.
pub(super) async fn run(cluster: Cluster, usage: Usage) {
    let mut told_ms = clock::boot_ms();
    loop {
        let secs = cluster.published().view.config().last_used_interval;
        let interval = Duration::from_secs(u64::try_from(secs).unwrap_or(0));
        if interval.is_zero() {
            usage.take();
        } else if clock::boot_ms().saturating_sub(told_ms)
            >= u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
        {
            told_ms = clock::boot_ms();
            tell(&cluster, &usage).await;
        }
        let pause = if interval.is_zero() { LOOK } else { interval.min(LOOK) };
        tokio::time::sleep(pause).await;
    }
}

async fn tell(cluster: &Cluster, usage: &Usage) {
    let mut uses: Vec<(TokenId, u64)> = usage.take();
    let view = &cluster.published().view;
    // Another node may have told of a later use, and some are gone.
    uses.retain(|(id, at)| view.token(id).is_some() && view.last_used(id).is_none_or(|before| before < *at));
    let mut rest = uses.as_slice();
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(rest.len().min(USES_MAX));
        let action = Action::NoteUse(NoteUse { uses: chunk.to_vec() });
        if let Err(error) = cluster.decide_for_itself(Actor::System, action).await {
            tracing::debug!(%error, "the use of tokens could not be noted now");
            usage.give_back(rest);
            return;
        }
        rest = later;
    }
}
