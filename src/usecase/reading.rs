//! Views to read from: how fresh they must be, and for what.
//!
//! After a start nothing is read before freshness has been proved once, and a node that is cut off stops reading
//! after `verify.max-isolation`. What a view doesn't hold may be held by a later one, so "unknown" counts only once
//! the view has been proved fresh.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::Published;

use super::failure::Failure;
use crate::authenticate::vouch;
use crate::cluster::Cluster;

/// The published view, if it may be read from at all.
pub(crate) async fn current(cluster: &Cluster) -> Result<Arc<Published<State>>, Failure> {
    let published = cluster.published();
    if may_read(cluster, &published) { Ok(published) } else { fresh(cluster).await }
}

/// Whether this view may be read from: freshness was proved once since the start, and the node is not cut off for
/// longer than `verify.max-isolation`.
pub(crate) fn may_read(cluster: &Cluster, published: &Published<State>) -> bool {
    vouch::may_read(published, cluster.instants())
}

/// Whether a plain token may be issued from this view: a node that is cut off for long doesn't.
pub(crate) fn may_issue(cluster: &Cluster, published: &Published<State>) -> bool {
    vouch::may_issue(published, cluster.instants())
}

/// Whether this view is young enough, at this moment, to vouch for a revocable token.
pub(crate) fn is_fresh(cluster: &Cluster, published: &Published<State>) -> bool {
    vouch::is_fresh(published, cluster.instants())
}

/// A view that was proved fresh after this call began, or 503 with the reason.
pub(crate) async fn fresh(cluster: &Cluster) -> Result<Arc<Published<State>>, Failure> {
    let wait = u64::try_from(cluster.published().view.config().stale_wait_ms).unwrap_or(0);
    match tokio::time::timeout(Duration::from_millis(wait), cluster.fresh()).await {
        Ok(Ok(published)) => Ok(published),
        Ok(Err(error)) => Err(stale(cluster, &error.to_string())),
        Err(_elapsed) => Err(stale(cluster, &format!("no proof of freshness within {wait} ms"))),
    }
}

/// A view in which `holds` is true, the published one or else a fresh one; `None` if it is false in a fresh one.
pub(crate) async fn holding(
    cluster: &Cluster,
    holds: impl Fn(&State) -> bool,
) -> Result<Option<Arc<Published<State>>>, Failure> {
    let published = current(cluster).await?;
    if holds(&published.view) {
        return Ok(Some(published));
    }
    let fresh = fresh(cluster).await?;
    Ok(holds(&fresh.view).then_some(fresh))
}

/// 503: this node can't prove that its view is as fresh as the request demands.
pub(crate) fn stale(cluster: &Cluster, why: &str) -> Failure {
    let published = cluster.published();
    match published.age_ms(cluster.instants()) {
        None => Failure::unavailable(
            "not_ready",
            "this node has not yet proved since its start that its view is fresh",
        )
        .with_detail(why),
        Some(age_ms) => Failure::unavailable("stale", "this node can't prove that its view is fresh enough")
            .with_detail(format!("the view may be {age_ms} ms old: {why}")),
    }
}
