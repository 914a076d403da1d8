//! One more look into the trusted directory, before a token is refused because nobody here knows its key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// Unknown keys cause one look in this time at most, however many tokens name them.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a token waits for the look.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where those who want a look and the one who looks meet.
#[derive(Default)]
pub(crate) struct Look {
    wanted: Notify,
    begun: AtomicU64,
    done: watch::Sender<u64>,
    last: Mutex<Option<Instant>>,
}

impl Look {
    /// Has the directory looked at once more, and waits until that is done. False if there was a look just now, or none
    /// came in time: nothing will be known that wasn't before.
    pub(crate) async fn again(&self) -> bool {
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.is_some_and(|at| at.elapsed() < INTERVAL) {
                return false;
            }
            *last = Some(Instant::now());
        }
        // A look under way may have missed what was dropped after it began.
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        let mut done = self.done.subscribe();
        self.wanted.notify_one();
        let looked = done.wait_for(|done| *done >= wanted);
        tokio::time::timeout(PATIENCE, looked).await.is_ok_and(|looked| looked.is_ok())
    }

    /// Resolves when somebody wants a look.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end(&self) {
        self.done.send_replace(self.begun.load(Ordering::Acquire));
    }
}

#[cfg(test)]
mod tests {
    use super::Look;

    #[tokio::test]
    async fn whoever_wants_a_look_gets_one_that_began_afterwards() {
        let look = Look::default();
        look.begin();
        let (again, ()) = tokio::join!(look.again(), async {
            look.wanted().await;
            // The look that was under way doesn't count.
            look.end();
            tokio::task::yield_now().await;
            look.begin();
            look.end();
        });
        assert!(again);
        assert!(!look.again().await, "there was one just now");
    }
}
