//! The one value that readers load: a view, the index it stands at, and since when it is proven fresh.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::clock_watch::Instants;
use crate::sources::{SourceId, Sources};
use crate::watch;

/// A view with its log index and its freshness: they change together or not at all.
#[derive(Debug)]
pub struct Published<V> {
    /// The state.
    pub view: Arc<V>,
    /// The log index of the last entry in it; 0 before the first.
    pub index: u64,
    /// The view held everything acknowledged before this instant; `None` until proved once since the start.
    pub fresh_as_of: Option<Instants>,
    /// Since when the view holds what others had decided.
    pub sources: Arc<Sources>,
}

impl<V> Published<V> {
    /// How old the view may be at `now`, in milliseconds: the greater of what both clocks saw pass.
    #[must_use]
    pub fn age_ms(&self, now: Instants) -> Option<u64> {
        self.fresh_as_of.map(|noted| noted.elapsed_ms(now))
    }
}

/// Where the state machine publishes, the prover proves, and everyone else reads without a lock.
///
/// Only the state machine moves the view, and only forwards; only the prover moves the freshness.
pub struct Board<V> {
    current: ArcSwap<Published<V>>,
    /// Serialises the two writers, so that neither overwrites the other's half.
    writer: Mutex<()>,
    /// The published index, for those who wait for one.
    index: watch::Sender<u64>,
    /// The index of the last change of the members in the view, for those who wait for the next.
    members: watch::Sender<u64>,
}

impl<V> Board<V> {
    /// A board that shows `view` at `index`, proven fresh as of never.
    #[must_use]
    pub fn new(view: Arc<V>, index: u64) -> Self {
        let first = Published { view, index, fresh_as_of: None, sources: Arc::default() };
        Self {
            current: ArcSwap::from_pointee(first),
            writer: Mutex::new(()),
            index: watch::Sender::new(index),
            members: watch::Sender::new(0),
        }
    }

    /// What is published now.
    #[must_use]
    pub fn load(&self) -> Arc<Published<V>> {
        self.current.load_full()
    }

    /// Shows a newer view; what was proven fresh stays so, since a newer view holds all that an older one did.
    /// Called before apply or install returns. `members` is the index of the last change of the members in it.
    pub fn publish(&self, view: Arc<V>, index: u64, members: u64) {
        {
            let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            let before = self.current.load();
            let (fresh_as_of, sources) = (before.fresh_as_of, Arc::clone(&before.sources));
            self.current.store(Arc::new(Published { view, index, fresh_as_of, sources }));
        }
        // Before anybody hears of the index: whoever was removed by it is let go of first.
        self.members.modify(|known| std::mem::replace(known, members) != members);
        self.index.set(index);
    }

    /// Credits the present view with being fresh as of `noted`, the instant before the read index was asked
    /// for, and learns the ages of the leader's sources. Does nothing and returns false if the view doesn't hold
    /// `read_index`; never moves backwards.
    pub(crate) fn prove(&self, read_index: u64, noted: Instants, ages: &[(SourceId, u64)]) -> bool {
        let _writing = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.current.load_full();
        if now.index < read_index {
            return false;
        }
        let later = now.fresh_as_of.is_none_or(|old| old.boot_ms < noted.boot_ms);
        if later || !ages.is_empty() {
            let mut sources = Arc::clone(&now.sources);
            if !ages.is_empty() {
                Arc::make_mut(&mut sources).learn(ages, noted);
            }
            let fresh_as_of = if later { Some(noted) } else { now.fresh_as_of };
            let proven = Published { view: Arc::clone(&now.view), index: now.index, fresh_as_of, sources };
            self.current.store(Arc::new(proven));
        }
        true
    }

    /// For those who look again after each change of the members.
    pub(crate) fn watch_members(&self) -> watch::Receiver<u64> {
        self.members.subscribe()
    }

    /// Resolves when the published view holds `index`; needs a deadline from its caller.
    pub async fn wait_index(&self, index: u64) {
        self.index.subscribe().wait_for(|now| *now >= index).await;
    }
}
