//! Waiting without guessing how long: look again and again, until it is so or the deadline has passed.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Waits until `look` finds something; panics with `what` when it hasn't by the deadline.
#[track_caller]
pub(crate) fn eventually<T, F>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> impl Future<Output = T>
where
    F: Future<Output = Option<T>>,
{
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + within;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "{place}: not within {within:?}: {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Waits until an instant has passed, for promises that begin at one.
pub(crate) async fn until(instant: Instant) {
    tokio::time::sleep_until(instant.into()).await;
}
