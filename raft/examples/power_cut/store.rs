//! The store's side: performing the operations, and reading back what is left of them.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use circlet_raft::engine::SledEngine;
use circlet_raft::log_store::{LogStore, PurgeBound};
use circlet_raft::{Proposal, Types};
use openraft::RaftLogReader;
use openraft::alias::{EntryOf, LogIdOf, OneshotReceiverOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::impls::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft_rt_tokio::TokioRuntime;

use crate::model::{Model, Operation, command};

type Rt = Types<TokioRuntime>;
type Log = LogStore<TokioRuntime>;
type Flushed = OneshotReceiverOf<Rt, io::Result<()>>;

/// Appends that may be on their way to the disk at a time.
const IN_FLIGHT: usize = 32;
/// Operations that may have reached the disk though nobody was told: those in flight and a little more.
const UNTOLD_MAX: u64 = 4 * IN_FLIGHT as u64;

/// Which sequence of operations, and where it is kept.
pub(crate) struct Sequence<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) seed: u64,
    pub(crate) batch: u64,
}

fn id((term, index): (u64, u64)) -> LogIdOf<Rt> {
    LogIdOf::<Rt>::new_term_index(term, index)
}

fn entry(term: u64, index: u64) -> EntryOf<Rt> {
    let proposal = Proposal { stamp_ms: index, command: command(term, index) };
    EntryOf::<Rt>::new(id((term, index)), EntryPayload::Normal(proposal))
}

fn open(folder: &Path, fdatasync: bool) -> io::Result<Log> {
    let engine = if fdatasync {
        SledEngine::open(folder)?
    } else {
        SledEngine::open_with(folder, Box::new(|_: &File| Ok(())))?
    };
    LogStore::open(Arc::new(engine), PurgeBound::none())
}

/// Performs operations from `start` on, for ever, and prints the number of each that is acknowledged.
pub(crate) async fn write(
    sequence: &Sequence<'_>,
    start: u64,
    fdatasync: bool,
) -> Result<(), Box<dyn Error>> {
    let mut log = open(sequence.folder, fdatasync)?;
    let mut model = Model::after(sequence.seed, sequence.batch, start);
    let (told, mut telling) = tokio::sync::mpsc::channel::<(u64, Flushed)>(IN_FLIGHT);
    let teller = tokio::spawn(async move {
        while let Some((number, flushed)) = telling.recv().await {
            flushed.await.map_err(io::Error::other)??;
            acknowledge(number)?;
        }
        io::Result::Ok(())
    });
    for number in start.. {
        let operation = model.operation(sequence.seed, number, sequence.batch);
        let flushed = perform(&mut log, &operation).await?;
        model.take(&operation);
        if told.send((number, flushed)).await.is_err() {
            break;
        }
        if let Some(committed) = model.committed() {
            log.save_committed(Some(id(committed))).await?;
        }
    }
    Ok(teller.await??)
}

/// Hands an operation to the store; resolves when it took it, with what resolves when it is durable.
async fn perform(log: &mut Log, operation: &Operation) -> io::Result<Flushed> {
    let (sender, flushed) = Rt::oneshot();
    let done = IOFlushed::<Rt>::signal(sender);
    match *operation {
        Operation::Append { term, from, to } => {
            log.append((from..to).map(|index| entry(term, index)), done).await?;
        }
        Operation::Vote { term } => {
            log.save_vote(&VoteOf::<Rt>::new(term, 1)).await?;
            done.io_completed(Ok(()));
        }
        Operation::Truncate { last } => {
            log.truncate_after(Some(id(last))).await?;
            done.io_completed(Ok(()));
        }
        Operation::Purge { upto } => {
            log.purge(id(upto)).await?;
            done.io_completed(Ok(()));
        }
    }
    Ok(flushed)
}

/// Tells the driver, outside of the image, that this operation and all before it are safe.
fn acknowledge(number: u64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{number}")?;
    out.flush()
}

/// Opens the store and finds after how many operations it stands; at least `acknowledged` of them.
pub(crate) async fn check(sequence: &Sequence<'_>, acknowledged: u64) -> Result<u64, Box<dyn Error>> {
    let found = read(sequence.folder).await?;
    let mut model = Model::after(sequence.seed, sequence.batch, acknowledged);
    for count in acknowledged..acknowledged + UNTOLD_MAX {
        if model == found {
            return Ok(count);
        }
        let operation = model.operation(sequence.seed, count, sequence.batch);
        model.take(&operation);
    }
    let expected = Model::after(sequence.seed, sequence.batch, acknowledged);
    Err(format!(
        "LOST: {acknowledged} operations acknowledged, log to {} and vote {:?}; found log from {} to {} and vote {:?}",
        expected.end(), expected.vote, found.start(), found.end(), found.vote
    )
    .into())
}

/// The state of the store, with every entry compared to what was written.
async fn read(folder: &Path) -> Result<Model, Box<dyn Error>> {
    let mut log = open(folder, true).map_err(|error| format!("LOST: the store doesn't open: {error}"))?;
    let purged = log.get_log_state().await?.last_purged_log_id;
    let entries = log.try_get_log_entries(..).await?;
    for found in &entries {
        let (term, index) = (found.log_id.committed_leader_id().term, found.log_id.index());
        if *found != entry(term, index) {
            return Err(format!("LOST: entry {index} is not what was written").into());
        }
    }
    Ok(Model {
        purged: purged.map(|purged| (purged.committed_leader_id().term, purged.index())),
        terms: entries.iter().map(|entry| entry.log_id.committed_leader_id().term).collect(),
        vote: log.read_vote().await?.map(|vote| vote.leader_id.term),
    })
}
