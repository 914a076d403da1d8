//! Views to read from: how fresh they must be, and for what.
//!
//! After a start nothing is read before freshness has been proved once, and a node that is cut off stops reading
//! after `verify.max-isolation`. What a view doesn't hold may be held by a later one, so "unknown" counts only once
//! the view has been proved fresh.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::{Instants, Published};

use super::failure::Failure;
use crate::authenticate::vouch::{self, Witness};
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

/// Asks the others for their time if this node's clock was never held against anything.
pub(crate) async fn compare_clocks(cluster: &Cluster) {
    if cluster.clock_ahead_ms().is_none() {
        cluster.compare_clocks().await;
    }
}

/// Refuses to date a plain token by a clock that is ahead of the others.
pub(crate) fn admit_date(cluster: &Cluster, view: &State) -> Result<(), Failure> {
    let ahead_ms = cluster.clock_ahead_ms();
    if vouch::may_date(view, ahead_ms) {
        return Ok(());
    }
    let why = ahead_ms.map_or_else(
        || "no other node has shown its clock yet".to_owned(),
        |ahead_ms| format!("it is {ahead_ms} ms ahead"),
    );
    Err(clock_is_off().with_detail(why + "; ask another node"))
}

/// 503: what this node would date may be from the future.
pub(crate) fn clock_is_off() -> Failure {
    Failure::unavailable("clock_skew", "this node's clock is off: it dates nothing")
}

/// What `sign` signs, if a plain token may be issued from this view then. The clocks are read afterwards, since the process may
/// sleep while it signs: what a cut-off node signs too late never leaves it.
pub(crate) fn signed_in_time<T>(
    published: &Published<State>,
    instants: impl FnOnce() -> Instants,
    sign: impl FnOnce() -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let signed = sign()?;
    Ok(vouch::may_issue(published, instants()).then_some(signed))
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
    vouch::holding(&Here(cluster), holds).await
}

/// This node, as the rule of freshness sees it.
pub(crate) struct Here<'a>(pub(crate) &'a Cluster);

impl Witness for Here<'_> {
    type Stale = Failure;

    fn published(&self) -> Arc<Published<State>> {
        self.0.published()
    }

    fn instants(&self) -> Instants {
        self.0.instants()
    }

    async fn fresh(&self) -> Result<Arc<Published<State>>, Failure> {
        fresh(self.0).await
    }
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_was_signed_is_kept_back_if_the_node_slept_beyond_its_isolation_meanwhile() {
        let noted = Instants { boot_ms: 5_000, wall_ms: 1_700_000_000_000 };
        let published = Published {
            view: Arc::new(State::default()),
            index: 7,
            fresh_as_of: Some(noted),
            sources: Arc::default(),
        };
        let isolation_ms = u64::try_from(published.view.config().issue_max_isolation).unwrap() * 1_000;
        let signs_while = |slept_ms: u64| {
            let clock = Cell::new(noted);
            let sign = || {
                clock.set(Instants { boot_ms: noted.boot_ms + slept_ms, ..noted });
                Ok("a token")
            };
            assert!(vouch::may_issue(&published, clock.get()), "before it signs it may");
            signed_in_time(&published, || clock.get(), sign).unwrap()
        };
        assert_eq!(signs_while(isolation_ms), Some("a token"));
        assert_eq!(signs_while(isolation_ms + 1), None);
    }
}
