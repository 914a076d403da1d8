//! Ordered keys under the log: batches that are atomic, durable in order, and acknowledged only then.
//!
//! The log store needs no more of a disk than this, so a simulator can take its place. [`SledEngine`] is the
//! real one.

use std::io;
use std::ops::ControlFlow;

mod flusher;
mod pulse;
mod sled_engine;

pub use flusher::ROOM_LOOK;
pub use pulse::{DiskReport, DiskTrouble, FLUSH_MICROS, Pulse};
pub use sled_engine::{FlushCount, SledEngine, Sync, VALUE_BYTES_MAX};

/// Called once when a batch is on stable storage, or when it is known that it won't be.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// Is shown a key and its value, and says whether to go on.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key has this value from now on.
    Put(Vec<u8>, Vec<u8>),
    /// The key is gone.
    Remove(Vec<u8>),
}

impl Change {
    /// About what it takes on disk.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put(key, value) => key.len() + value.len(),
            Self::Remove(key) => key.len(),
        }
    }
}

/// Changes that happen together or not at all, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch(Vec<Change>);

impl Batch {
    /// Adds a key with its value.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.0.push(Change::Put(key.into(), value));
    }

    /// Adds the removal of a key, which need not exist.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.0.push(Change::Remove(key.into()));
    }

    /// How many changes it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it changes nothing; it still marks a point in the order of the others.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The changes, in order.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        self.0
    }
}

/// A durable, ordered map from bytes to bytes, with one writer.
///
/// - Batches take effect whole and in the order in which they were handed over. After a crash a prefix of them
///   is there, and it contains every batch whose `Done` was called with `Ok`.
/// - After one failure everything fails: what reached the disk is unknown then, and a retry would hide it.
/// - Neither method that takes a batch blocks. Reads see every batch that is done, perhaps newer ones too.
pub trait Engine: Send + std::marker::Sync + 'static {
    /// Queues a batch; `done` is called, on any thread, when it is durable.
    fn submit(&self, batch: Batch, done: Done);

    /// Queues a batch that nobody waits for: it becomes durable with the next one, or a little later by itself.
    fn submit_lazily(&self, batch: Batch);

    /// The value of a key.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;

    /// Visits the keys from `from` up to and without `to` in order, until told to break.
    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> io::Result<()>;

    /// Why nothing can be written any more, once that is so.
    fn failure(&self) -> Option<String>;

    /// What the disk does; an engine that has none tells nothing.
    fn disk(&self) -> DiskReport {
        DiskReport::default()
    }

    /// The file that a message about damage should name.
    fn file(&self) -> String;
}
