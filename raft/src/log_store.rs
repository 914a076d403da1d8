//! Raft's log, vote and pointers over an [`Engine`].
//!
//! Everything lives in one ordered key space (`log_store/record.rs` has the layout), so that a pointer
//! and the entries it speaks of change in one atomic batch. Appends return at once and report when they are
//! durable; vote, truncation and purge wait for it. The `committed` pointer rides along with the next write:
//! it only shortens the way back after a restart, and a lost one costs nothing but time.
//!
//! Architecture invariant: an entry is served only if its checksum holds, its index is its predecessor's plus
//! one, and its term isn't lower. What fails is [`Damage`], and the node stops.

use std::fmt::Debug;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, ControlFlow, RangeBounds};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::Stream;
use futures::channel::oneshot;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{AsyncRuntime, OptionalSend, RaftLogReader};

use crate::damage::Damage;
use crate::engine::{Batch, DiskReport, Engine};
use crate::journal::Durable;
use crate::types::Types;

mod open;
mod parts;
pub(crate) mod record;
mod tail;

use parts::Joiner;
use record::{COMMITTED, Entry, LogId, PURGED, VOTE, Vote, encode, entry_key};
use tail::Tail;

/// The largest command that an entry takes: many find room in one round of the log, and in a frame between peers.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;

/// Appended bytes that may wait for the disk before appending waits as well.
const QUEUED_BYTES_MAX: usize = 64 << 20;
/// Entries that one read returns at most, unless the caller insists on all.
const READ_ENTRIES_MAX: u64 = 1_024;
/// Purged entries that are removed at once; the rest goes along with later appends, since removing many stalls
/// the engine.
const SWEEP_AT_PURGE: u64 = 64;
/// Purged entries removed with an append of one entry; two more for each further one.
const SWEEP_AT_APPEND: u64 = 8;

/// The first index that must stay in the log, whatever Raft would purge: the entry after the older kept
/// snapshot. `u64::MAX` is no bound.
#[derive(Clone, Debug)]
pub struct PurgeBound(Arc<AtomicU64>);

impl PurgeBound {
    /// No bound, for a log without snapshots beside it.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }

    /// Everything from `index` on must stay.
    pub fn keep_from(&self, index: u64) {
        self.0.store(index, Ordering::SeqCst);
    }

    /// The first index that must stay.
    #[must_use]
    pub fn first_kept(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The log; clones are handles to the same, of which one writes.
pub struct LogStore<R> {
    engine: Arc<dyn Engine>,
    tail: Arc<Mutex<Tail>>,
    bound: PurgeBound,
    runtime: PhantomData<fn() -> R>,
}

impl<R> Clone for LogStore<R> {
    fn clone(&self) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            tail: Arc::clone(&self.tail),
            bound: self.bound.clone(),
            runtime: PhantomData,
        }
    }
}

impl<R> LogStore<R> {
    /// Opens the log in `engine` and checks all of it.
    ///
    /// # Errors
    /// [`Damage`] inside the error if a record can't be believed or one is missing.
    pub fn open(engine: Arc<dyn Engine>, bound: PurgeBound) -> io::Result<Self> {
        let mut tail = open::load(&*engine)?;
        tail.durable = Durable {
            term: tail.vote.map_or(0, |vote| vote.leader_id.term),
            last: tail.last.as_ref().map(place).unwrap_or_default(),
        };
        Ok(Self { engine, tail: Arc::new(Mutex::new(tail)), bound, runtime: PhantomData })
    }

    /// About how many bytes of log there are from `index` on; decides when a snapshot is due.
    #[must_use]
    pub fn bytes_from(&self, index: u64) -> u64 {
        self.tail().bytes_from(index)
    }

    /// The index of the last purged entry, if any was.
    #[must_use]
    pub fn purged_index(&self) -> Option<u64> {
        self.tail().purged.map(|purged| purged.index())
    }

    /// The index of the last entry, purged or not.
    #[must_use]
    pub fn last_index(&self) -> Option<u64> {
        self.tail().last.map(|last| last.index())
    }

    /// The index of the last entry of which we knew that it was decided.
    pub(crate) fn committed_index(&self) -> Option<u64> {
        self.tail().committed.map(|committed| committed.index())
    }

    /// What of log and vote would outlast a power cut now.
    #[must_use]
    pub fn durable(&self) -> Durable {
        self.tail().durable
    }

    /// Why the log can't be written any more, once that is so.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.engine.failure()
    }

    /// What the disk under the log does.
    #[must_use]
    pub fn disk(&self) -> DiskReport {
        self.engine.disk()
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a batch and waits until it is durable.
    async fn commit(&self, batch: Batch) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        self.engine.submit(batch, Box::new(move |result| drop(sender.send(result))));
        receiver.await.unwrap_or_else(|_| Err(io::Error::other("the log's engine has stopped")))
    }

    /// The entries from `from` up to and without `to` that the log holds, as of one moment.
    pub(crate) fn read(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        loop {
            let (from, to, cached_from, cached, truncations) = {
                let tail = self.tail();
                let (from, to) = (from.max(tail.start()), to.min(tail.end));
                let cached_from = tail.cached_from();
                (from, to, cached_from, tail.cached(from, to), tail.truncations)
            };
            if from >= cached_from || from >= to {
                return Ok(cached);
            }
            let older = self.read_engine(from, to.min(cached_from));
            let tail = self.tail();
            if tail.truncations != truncations || tail.start() > from {
                continue;
            }
            drop(tail);
            let mut entries = older?;
            entries.extend(cached);
            return Ok(entries);
        }
    }

    /// Durable entries, each checked against its key, its checksum and its predecessor.
    fn read_engine(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut wrong = None;
        let mut joiner = Joiner::default();
        self.engine.scan(&entry_key(from), &entry_key(to), &mut |key, value| {
            let previous = entries.last().map(|entry| entry.log_id);
            match open::next(&mut joiner, (key, value), from + entries.len() as u64, previous) {
                Ok(entry) => entries.extend(entry.map(|(entry, _)| entry)),
                Err(what) => wrong = Some(what),
            }
            if wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let mut wrong = wrong.or_else(|| joiner.finish().err());
        if wrong.is_none() && entries.len() as u64 != to - from {
            wrong = Some(format!("entries end at {}, before {to}", from + entries.len() as u64));
        }
        wrong.map_or(Ok(entries), |what| Err(Damage::new(self.engine.file(), what).into()))
    }

    /// Encodes the entries into a batch and adds them to the tail.
    fn take(&self, entries: impl IntoIterator<Item = Entry>) -> io::Result<(Batch, u64, usize)> {
        let mut batch = Batch::default();
        let mut bytes = 0;
        let mut tail = self.tail();
        for entry in entries {
            let index = entry.log_id.index();
            if tail.last.is_some_and(|last| last.index() + 1 != index) {
                let what = format!("entry {index} appended after {:?}", tail.last);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let record = encode(&entry_key(index), &entry);
            bytes += record.len();
            tail.push(entry, record.len());
            parts::put(&mut batch, index, record);
        }
        let most = SWEEP_AT_APPEND + 2 * batch.len() as u64;
        tail.sweep_into(&mut batch, most);
        Ok((batch, tail.end, bytes))
    }

    /// How far purging up to `upto` may go: not past the older kept snapshot, unless nothing would be left
    /// anyway (a snapshot took the place of the whole log).
    fn purge_to(&self, upto: LogId) -> io::Result<Option<LogId>> {
        let (last, purged) = {
            let tail = self.tail();
            (tail.last, tail.purged.map(|purged| purged.index()))
        };
        let first_kept = self.bound.first_kept();
        if upto.index() < first_kept || last.is_none_or(|last| last.index() <= upto.index()) {
            return Ok((Some(upto.index()) > purged).then_some(upto));
        }
        let Some(limit) = first_kept.checked_sub(1).filter(|limit| Some(*limit) > purged) else {
            return Ok(None);
        };
        Ok(self.read(limit, first_kept)?.first().map(|entry| entry.log_id))
    }
}

/// Term and index of an entry.
fn place(log_id: &LogId) -> (u64, u64) {
    (log_id.committed_leader_id().term, log_id.index())
}

/// Whether the engine has never held a log.
pub fn is_new(engine: &dyn Engine) -> io::Result<bool> {
    Ok(engine.get(record::FORMAT)?.is_none())
}

/// Marks an engine as one that holds a log. [`LogStore::open`] does it as well; whoever wants to know that
/// the mark is durable does it first and waits for a batch after it.
pub fn mark_format(engine: &dyn Engine) {
    let mut batch = Batch::default();
    batch.put(record::FORMAT, record::FORMAT_MARK.to_vec());
    engine.submit_lazily(batch);
}

/// The half-open range that a range of indexes means.
fn limits(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl<R: AsyncRuntime> RaftLogReader<Types<R>> for LogStore<R> {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = limits(&range);
        self.read(from, to)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.tail().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start, end.min(start.saturating_add(READ_ENTRIES_MAX)))
    }

    /// Reads in steps, so that applying a long log doesn't hold all of it.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = limits(&range);
        let log = self.clone();
        let steps = futures::stream::unfold(from, move |from| {
            let read = if from < to {
                log.read(from, to.min(from.saturating_add(READ_ENTRIES_MAX)))
            } else {
                Ok(Vec::new())
            };
            let step = match read {
                Ok(entries) => {
                    entries.last().map(|last| last.log_id.index() + 1).map(|next| (Ok(entries), next))
                }
                Err(error) => Some((Err(error), to)),
            };
            std::future::ready(step)
        });
        let entries = futures::StreamExt::flat_map(steps, |step| {
            let (entries, error) = match step {
                Ok(entries) => (entries, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            futures::stream::iter(entries.into_iter().map(Ok).chain(error))
        });
        Box::pin(entries)
    }
}

impl<R: AsyncRuntime> RaftLogStorage<Types<R>> for LogStore<R> {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types<R>>> {
        let tail = self.tail();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.put(VOTE, encode(VOTE, vote));
        self.tail().vote = Some(*vote);
        self.commit(batch).await?;
        self.tail().durable.term = vote.leader_id.term;
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut batch = Batch::default();
        match &committed {
            Some(committed) => batch.put(COMMITTED, encode(COMMITTED, committed)),
            None => batch.remove(COMMITTED),
        }
        self.tail().committed = committed;
        self.engine.submit_lazily(batch);
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.tail().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types<R>>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (batch, end, bytes) = self.take(entries)?;
        let tail = Arc::clone(&self.tail);
        let (last, truncations) = {
            let tail = self.tail();
            (tail.last.as_ref().map(place), tail.truncations)
        };
        let done = move |result: io::Result<()>| {
            if result.is_ok() {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.made_durable(end, bytes);
                if tail.truncations == truncations {
                    tail.durable.last = tail.durable.last.max(last.unwrap_or_default());
                }
            }
            callback.io_completed(result);
        };
        self.engine.submit(batch, Box::new(done));
        let queued = self.tail().queued_bytes;
        if queued > QUEUED_BYTES_MAX {
            // The disk is behind: let it catch up before more is taken into memory.
            self.commit(Batch::default()).await?;
        }
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let (batch, from) = {
            let mut tail = self.tail();
            let from = last.map_or(tail.start(), |last| last.index() + 1).max(tail.start());
            let mut batch = Batch::default();
            let end = tail.end;
            tail.long.remove(&mut batch, from..end);
            if batch.is_empty() {
                return Ok(());
            }
            let last = last.or(tail.purged);
            tail.truncate(from, last);
            // At once: what is being removed is not to be relied on any more.
            tail.durable.last = tail.durable.last.min(last.as_ref().map(place).unwrap_or_default());
            (batch, from)
        };
        self.commit(batch).await?;
        // Appends from before may have been reported durable meanwhile.
        self.tail().made_truncated(from);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let Some(upto) = self.purge_to(upto)? else { return Ok(()) };
        let mut batch = Batch::default();
        batch.put(PURGED, encode(PURGED, &upto));
        {
            let mut tail = self.tail();
            tail.purge(upto);
            tail.sweep_into(&mut batch, SWEEP_AT_PURGE);
        }
        self.commit(batch).await?;
        let mut tail = self.tail();
        tail.durable.last = tail.durable.last.max(place(&upto));
        Ok(())
    }
}
