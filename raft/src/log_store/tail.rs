//! The log's end in memory: what was appended and may not be durable yet, and the pointers.
//!
//! Readers find an entry here from the moment it is appended, so appending never waits for the disk. An entry
//! leaves only when it is durable, and then only when newer ones need the room.

use std::collections::{BTreeMap, VecDeque};

use super::parts::LongEntries;
use super::record::{Entry, LogId, Vote};
use crate::engine::Batch;
use crate::journal::Durable;

/// Entries kept for replication and applying, beyond those that must be.
const CACHE_BYTES_MAX: usize = 16 << 20;
/// The log's size is counted in blocks of this many entries.
const BLOCK: u64 = 256;

/// The in-memory half of the log store.
#[derive(Default)]
pub(super) struct Tail {
    /// The newest entries, contiguous up to `end`.
    cached: VecDeque<(Entry, usize)>,
    cached_bytes: usize,
    /// One past the last index that is durable; entries below may leave the cache.
    durable_end: u64,
    /// One past the last index.
    pub(super) end: u64,
    pub(super) last: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    /// Where the log began, if nothing was purged.
    first: u64,
    /// Purged entries from here up to `sweep_end` may still lie in the engine.
    swept_to: u64,
    sweep_end: u64,
    /// What is on the disk, or less.
    pub(super) durable: Durable,
    /// Bytes appended and not durable yet.
    pub(super) queued_bytes: usize,
    /// Counts truncations, so that a reader notices one.
    pub(super) truncations: u64,
    sizes: BTreeMap<u64, u64>,
    /// Entries that lie in the engine in parts, purged ones included.
    pub(super) long: LongEntries,
}

impl Tail {
    /// The first index that is in the log.
    pub(super) fn start(&self) -> u64 {
        self.purged.map_or(self.first, |purged| purged.index() + 1)
    }

    /// The first index that is in memory.
    pub(super) fn cached_from(&self) -> u64 {
        self.end - self.cached.len() as u64
    }

    /// The cached entries from `from` up to and without `to`.
    pub(super) fn cached(&self, from: u64, to: u64) -> Vec<Entry> {
        let first = self.cached_from();
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let take = usize::try_from(to.saturating_sub(from.max(first))).unwrap_or(0);
        self.cached.iter().skip(skip).take(take).map(|(entry, _)| entry.clone()).collect()
    }

    /// Adds the next entry, which takes `bytes` on disk.
    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        let index = entry.log_id.index();
        if self.last.is_none() {
            (self.first, self.end) = (index, index);
        }
        self.last = Some(entry.log_id);
        self.end += 1;
        *self.sizes.entry(index / BLOCK).or_default() += bytes as u64;
        self.queued_bytes += bytes;
        self.cached_bytes += bytes;
        self.long.note(index, bytes);
        self.cached.push_back((entry, bytes));
    }

    /// Notes that the entries below `end`, `bytes` of them new, are durable.
    pub(super) fn made_durable(&mut self, end: u64, bytes: usize) {
        self.durable_end = self.durable_end.max(end);
        self.queued_bytes = self.queued_bytes.saturating_sub(bytes);
        while self.cached_bytes > CACHE_BYTES_MAX && self.cached_from() < self.durable_end {
            self.forget_oldest();
        }
    }

    /// Drops the entries from `from` on; `last` is the one before.
    pub(super) fn truncate(&mut self, from: u64, last: Option<LogId>) {
        while self.end > from {
            match self.cached.pop_back() {
                Some((_, bytes)) => self.cached_bytes -= bytes,
                None => self.end = from + 1,
            }
            self.end -= 1;
        }
        self.last = last;
        self.truncations += 1;
        self.sizes.split_off(&from.div_ceil(BLOCK));
    }

    /// Drops the entries up to and with `upto`.
    pub(super) fn purge(&mut self, upto: LogId) {
        let keep_from = upto.index() + 1;
        self.purged = Some(upto);
        self.sweep_end = self.end.min(keep_from);
        while !self.cached.is_empty() && self.cached_from() < keep_from {
            self.forget_oldest();
        }
        if self.end < keep_from {
            self.end = keep_from;
        }
        if self.last.is_none_or(|last| last.index() < keep_from) {
            self.last = Some(upto);
        }
        self.sizes = self.sizes.split_off(&(keep_from / BLOCK));
    }

    /// Notes that the engine may hold purged entries from `first` on.
    pub(super) fn sweep_from(&mut self, first: u64) {
        (self.swept_to, self.sweep_end) = (first, self.start());
    }

    /// Has the next purged entries removed from the engine, up to `most`.
    pub(super) fn sweep_into(&mut self, batch: &mut Batch, most: u64) {
        let from = self.swept_to;
        let to = self.sweep_end.min(from.saturating_add(most)).max(from);
        self.swept_to = if to >= self.sweep_end { self.start().max(to) } else { to };
        self.long.remove(batch, from..to);
    }

    /// Notes that entries from `from` on aren't durable any more, once a truncation is.
    pub(super) fn made_truncated(&mut self, from: u64) {
        self.durable_end = self.durable_end.min(from);
    }

    /// About how many bytes the entries from `index` on take.
    pub(super) fn bytes_from(&self, index: u64) -> u64 {
        self.sizes.range(index / BLOCK..).map(|(_, bytes)| bytes).sum()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, bytes)) = self.cached.pop_front() {
            self.cached_bytes -= bytes;
        }
    }
}
