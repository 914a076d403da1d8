//! How fresh a view must be for what it is asked to vouch for. Generic over the node, so that the simulator runs the
//! same rule.
//!
//! The view is loaded once and judged on; only then is the clock read, so that the time that judging took, or a pause
//! of the process meanwhile, counts against the view's freshness.

use std::future::Future;
use std::sync::Arc;

use circlet_authority::State;
use circlet_raft::{Instants, Published};

/// What the rule needs of a node.
pub trait Witness: Sync {
    /// Why it can't prove that its view is fresh.
    type Stale: Send;

    /// The present view with its index and freshness.
    fn published(&self) -> Arc<Published<State>>;

    /// Both clocks, now.
    fn instants(&self) -> Instants;

    /// A view that was proved fresh after this call began; the wait is bounded.
    fn fresh(&self) -> impl Future<Output = Result<Arc<Published<State>>, Self::Stale>> + Send;
}

/// What judging on one view says.
#[derive(Debug)]
pub enum Opinion<T, R> {
    /// It is good.
    Good {
        /// What was found.
        found: T,
        /// Whether only a fresh view may say so.
        needs_freshness: bool,
    },
    /// It is refused.
    Refused {
        /// Why.
        why: R,
        /// Whether a later view might accept it.
        may_change: bool,
    },
}

/// Why nothing was vouched for.
#[derive(Debug)]
pub enum Unvouched<R, S> {
    /// It is refused.
    Refused(R),
    /// No fresh view could be had in time.
    Stale(S),
    /// One was had, but too long ago by now.
    TooSlow,
}

/// Judges on the present view, and once more on a fresh one if the first doesn't suffice.
pub async fn vouch<W: Witness, T, R>(
    node: &W,
    judge: impl Fn(&Arc<Published<State>>) -> Opinion<T, R>,
) -> Result<T, Unvouched<R, W::Stale>> {
    let mut published = node.published();
    let mut proved = false;
    if !may_read(&published, node.instants()) {
        published = node.fresh().await.map_err(Unvouched::Stale)?;
    }
    loop {
        match judge(&published) {
            Opinion::Good { found, needs_freshness: false } => return Ok(found),
            Opinion::Good { found, .. } if is_fresh(&published, node.instants()) => return Ok(found),
            Opinion::Good { .. } if proved => return Err(Unvouched::TooSlow),
            Opinion::Refused { why, may_change } if proved || !may_change => {
                return Err(Unvouched::Refused(why));
            }
            Opinion::Good { .. } | Opinion::Refused { .. } => {}
        }
        published = node.fresh().await.map_err(Unvouched::Stale)?;
        proved = true;
    }
}

/// Whether this view may be read from at all: freshness was proved once since the start, and the node is not cut off
/// for longer than `verify.max-isolation`.
#[must_use]
pub fn may_read(published: &Published<State>, now: Instants) -> bool {
    let most_ms = unsigned(published.view.config().verify_max_isolation).saturating_mul(1_000);
    published.age_ms(now).is_some_and(|age_ms| age_ms <= most_ms)
}

/// Whether a plain token may be issued from this view: a node that is cut off for long doesn't.
#[must_use]
pub fn may_issue(published: &Published<State>, now: Instants) -> bool {
    let most_ms = unsigned(published.view.config().issue_max_isolation).saturating_mul(1_000);
    published.age_ms(now).is_some_and(|age_ms| age_ms <= most_ms)
}

/// Whether this view is young enough to vouch for what can be revoked.
#[must_use]
pub fn is_fresh(published: &Published<State>, now: Instants) -> bool {
    let most_ms = unsigned(published.view.config().max_staleness_ms);
    published.age_ms(now).is_some_and(|age_ms| age_ms <= most_ms)
}

fn unsigned(setting: i64) -> u64 {
    u64::try_from(setting).unwrap_or(0)
}
