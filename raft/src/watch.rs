//! A value that many watch. Unlike tokio's, it wakes those who wait in the order in which they came, so that a
//! simulated run repeats itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The end that changes the value.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// An end that watches it.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

#[derive(Debug)]
struct Shared<T> {
    /// The value, and how often it has changed.
    value: Mutex<(T, u64)>,
    changed: Notify,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, (T, u64)> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> Sender<T> {
    /// The end that changes this value.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Arc::new(Shared { value: Mutex::new((value, 0)), changed: Notify::new() }))
    }

    /// A copy of the value as it is.
    #[must_use]
    pub fn get(&self) -> T {
        self.0.lock().0.clone()
    }

    /// Changes it to another.
    pub fn set(&self, value: T) {
        self.modify(|old| {
            *old = value;
            true
        });
    }

    /// Changes the value in place; `change` says whether it did.
    pub fn modify(&self, change: impl FnOnce(&mut T) -> bool) {
        let changed = {
            let mut value = self.0.lock();
            let changed = change(&mut value.0);
            value.1 += u64::from(changed);
            changed
        };
        if changed {
            self.0.changed.notify_waiters();
        }
    }

    /// An end that watches it, and has seen what it is now.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.0.lock().1;
        Receiver { shared: Arc::clone(&self.0), seen }
    }
}

impl<T: Clone> Receiver<T> {
    /// A copy of the value, which counts as seen.
    pub fn see(&mut self) -> T {
        let value = self.shared.lock();
        self.seen = value.1;
        value.0.clone()
    }

    /// Waits until the value is another than the one seen.
    pub async fn changed(&self) {
        loop {
            // Made before the look, so that no change falls between the two.
            let changed = self.shared.changed.notified();
            if self.shared.lock().1 != self.seen {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the value is as wanted, which it may be already. Waits for ever if it never will.
    pub async fn wait_for(&self, wanted: impl Fn(&T) -> bool) -> T {
        loop {
            let changed = self.shared.changed.notified();
            {
                let value = self.shared.lock();
                if wanted(&value.0) {
                    return value.0.clone();
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let sender = Sender::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waiting = (0..40).map(|number| {
            let (receiver, woken) = (sender.subscribe(), Arc::clone(&woken));
            tokio::spawn(async move {
                receiver.wait_for(|value| *value == 1).await;
                woken.lock().unwrap().push(number);
            })
        });
        let waiting: Vec<_> = waiting.collect();
        tokio::task::yield_now().await;
        sender.set(1);
        futures::future::join_all(waiting).await;
        assert_eq!(*woken.lock().unwrap(), (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn a_change_before_the_wait_is_not_missed() {
        let sender = Sender::new(0);
        let mut receiver = sender.subscribe();
        assert!(receiver.changed().now_or_never().is_none());
        sender.set(5);
        assert!(receiver.changed().now_or_never().is_some());
        assert_eq!(receiver.see(), 5);
        sender.modify(|_| false);
        assert!(receiver.changed().now_or_never().is_none());
    }
}
