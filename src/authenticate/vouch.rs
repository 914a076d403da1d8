//! How fresh a view must be for what it is asked to vouch for. Generic over the node, so that the simulator runs the
//! same rule.
//!
//! The view is loaded once and judged on; only then is the clock read, so that the time that judging took, or a pause
//! of the process meanwhile, counts against the view's freshness, and against how long a node that is cut off goes on.

use std::future::Future;
use std::sync::Arc;

use circlet_authority::State;
use circlet_raft::{Instants, Published, SourceId};

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
        /// The cluster whose revocations must be known to be fresh as well.
        feed: Option<SourceId>,
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
    /// What is known of another cluster's revocations is too old.
    FeedStale {
        /// How old it is at most, in milliseconds; `None` if nothing is proven.
        age_ms: Option<u64>,
        /// How old it may be.
        max_ms: u64,
    },
}

/// Judges on the present view, and once more on a fresh one if the first doesn't suffice.
pub async fn vouch<W: Witness, T, R>(
    node: &W,
    judge: impl Fn(&Arc<Published<State>>) -> Opinion<T, R>,
) -> Result<T, Unvouched<R, W::Stale>> {
    let mut published = readable(node).await.map_err(Unvouched::Stale)?;
    let mut proved = false;
    loop {
        match judge(&published) {
            Opinion::Good { found, needs_freshness, feed } => {
                let now = node.instants();
                let suffices = may_read(&published, now) && (!needs_freshness || is_fresh(&published, now));
                match feed.map_or(Ok(()), |source| check_feed(&published, source, now)) {
                    Ok(()) if suffices => return Ok(found),
                    _ if proved && !suffices => return Err(Unvouched::TooSlow),
                    Err(stale) if proved => return Err(stale.into()),
                    Ok(()) | Err(_) => {}
                }
            }
            Opinion::Refused { why, may_change } if proved || !may_change => {
                return Err(Unvouched::Refused(why));
            }
            Opinion::Refused { .. } => {}
        }
        published = node.fresh().await.map_err(Unvouched::Stale)?;
        proved = true;
    }
}

/// A view in which `holds` is true, the present one or else a fresh one; `None` if it is false in a fresh one.
///
/// # Errors
/// No view that may be read from could be had in time.
pub async fn holding<W: Witness>(
    node: &W,
    holds: impl Fn(&State) -> bool,
) -> Result<Option<Arc<Published<State>>>, W::Stale> {
    let published = readable(node).await?;
    if holds(&published.view) && may_read(&published, node.instants()) {
        return Ok(Some(published));
    }
    let fresh = node.fresh().await?;
    Ok(holds(&fresh.view).then_some(fresh))
}

/// The present view, if it may be read from at all, or a fresh one.
async fn readable<W: Witness>(node: &W) -> Result<Arc<Published<State>>, W::Stale> {
    let published = node.published();
    if may_read(&published, node.instants()) { Ok(published) } else { node.fresh().await }
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

/// Clocks this far apart agree. What a token of such a node outlives of `verify.clock-leeway`, the time for which what has
/// expired is kept makes up for.
const AGREE_MS: u64 = 5_000;

/// Whether a node may date a plain token whose clock is ahead by so much, or by nobody knows how much. What is dated later than
/// others take for the present comes alive when the revocation that ended it may be forgotten.
#[must_use]
pub fn may_date(view: &State, ahead_ms: Option<u64>) -> bool {
    let most_ms = unsigned(view.config().clock_leeway).saturating_mul(1_000).max(AGREE_MS);
    ahead_ms.is_some_and(|ahead_ms| ahead_ms <= most_ms)
}

/// Whether this view is young enough to vouch for what can be revoked.
#[must_use]
pub fn is_fresh(published: &Published<State>, now: Instants) -> bool {
    let most_ms = unsigned(published.view.config().max_staleness_ms);
    published.age_ms(now).is_some_and(|age_ms| age_ms <= most_ms)
}

/// How old what is known of another cluster's revocations is, and how old it may be.
struct FeedStale {
    age_ms: Option<u64>,
    max_ms: u64,
}

impl<R, S> From<FeedStale> for Unvouched<R, S> {
    fn from(FeedStale { age_ms, max_ms }: FeedStale) -> Self {
        Self::FeedStale { age_ms, max_ms }
    }
}

fn check_feed(published: &Published<State>, source: SourceId, now: Instants) -> Result<(), FeedStale> {
    let max_ms = unsigned(published.view.config().circle_max_staleness_ms);
    match published.sources.age_ms(source, now) {
        Some(age_ms) if age_ms <= max_ms => Ok(()),
        age_ms => Err(FeedStale { age_ms, max_ms }),
    }
}

fn unsigned(setting: i64) -> u64 {
    u64::try_from(setting).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A node that was cut off when it had proved its view fresh.
    struct Sleepy {
        published: Arc<Published<State>>,
        now_ms: AtomicU64,
    }

    impl Witness for Sleepy {
        type Stale = ();

        fn published(&self) -> Arc<Published<State>> {
            Arc::clone(&self.published)
        }

        fn instants(&self) -> Instants {
            let now_ms = self.now_ms.load(Ordering::SeqCst);
            Instants { boot_ms: now_ms, wall_ms: now_ms }
        }

        async fn fresh(&self) -> Result<Arc<Published<State>>, ()> {
            Ok(self.published())
        }
    }

    impl Sleepy {
        fn awake() -> Self {
            let fresh_as_of = Some(Instants { boot_ms: 1_000, wall_ms: 1_000 });
            let view = Arc::new(State::default());
            let published = Arc::new(Published { view, index: 0, fresh_as_of, sources: Arc::default() });
            Self { published, now_ms: AtomicU64::new(1_000) }
        }
    }

    /// How old a view may be that is read from.
    fn isolation_ms() -> u64 {
        unsigned(State::default().config().verify_max_isolation) * 1_000
    }

    /// What it says of a token that can't be revoked, where it sleeps for so long while it judges.
    fn said_after(sleep_ms: u64) -> Result<(), Unvouched<(), ()>> {
        let node = Sleepy::awake();
        let good = |_: &Arc<Published<State>>| {
            node.now_ms.fetch_add(sleep_ms, Ordering::SeqCst);
            Opinion::Good { found: (), needs_freshness: false, feed: None }
        };
        match pin!(vouch(&node, good)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(said) => said,
            Poll::Pending => panic!("nothing is waited for"),
        }
    }

    #[test]
    fn who_sleeps_while_it_judges_vouches_for_nothing_beyond_its_isolation() {
        assert!(matches!(said_after(isolation_ms()), Ok(())));
        assert!(matches!(said_after(isolation_ms() + 1), Err(Unvouched::TooSlow)));
    }

    #[test]
    fn who_sleeps_while_it_looks_something_up_looks_again_in_a_fresh_view() {
        let looks_after = |sleep_ms| {
            let node = Sleepy::awake();
            let looked = AtomicU64::new(0);
            let holds = |_: &State| {
                looked.fetch_add(1, Ordering::SeqCst);
                node.now_ms.fetch_add(sleep_ms, Ordering::SeqCst);
                true
            };
            let held = pin!(holding(&node, holds)).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(held, Poll::Ready(Ok(Some(_)))));
            looked.into_inner()
        };
        assert_eq!(looks_after(isolation_ms()), 1);
        assert_eq!(looks_after(isolation_ms() + 1), 2);
    }
}
