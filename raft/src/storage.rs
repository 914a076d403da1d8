//! A node's data folder: log and snapshots, opened together because they must fit each other.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, mpsc};

use openraft::AsyncRuntime;

use crate::blocking::{Blocking, Threads};
use crate::damage::Damage;
use crate::engine::{Batch, DiskReport, Engine, SledEngine};
use crate::journal::{Durable, Journal};
use crate::log_store::{self, LogStore, PurgeBound};
use crate::machine::Machine;
use crate::published::Board;
use crate::snapshot::SnapshotStore;
use crate::state_machine::StateMachine;

/// The log's folder in the data folder.
pub(crate) const LOG: &str = "raft";
/// The snapshots' folder in the data folder.
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// Says that the log has been written once: an empty one beside it has lost everything.
const LOG_MADE: &str = "raft.made";

/// Everything that openraft needs from the disk, and what readers load.
pub struct Storage<R, M: Machine> {
    /// Log and vote.
    pub log: LogStore<R>,
    /// The machine, empty until openraft has installed the newest snapshot and applied the log.
    pub machine: StateMachine<R, M>,
    /// The snapshots, for the network and for the purge policy.
    pub snapshots: SnapshotStore,
    /// Where views are published.
    pub board: Arc<Board<M::View>>,
}

impl<R, M: Machine> Storage<R, M> {
    /// Opens `data`, or creates it. Blocks while log and snapshots are checked.
    ///
    /// # Errors
    /// [`Damage`] inside the error when what is there can't be believed; nothing has been changed then.
    pub fn open(data: &Path) -> io::Result<Self> {
        let bound = PurgeBound::none();
        let engine = SledEngine::open(&data.join(LOG))?;
        mark_made(data, &engine)?;
        let snapshots = SnapshotStore::open(&data.join(SNAPSHOTS), bound.clone())?;
        File::open(data)?.sync_all()?;
        Self::assemble(Arc::new(engine), snapshots, bound, Arc::new(Threads))
    }

    /// Puts a store together from its parts, and checks that they fit.
    pub fn assemble(
        engine: Arc<dyn Engine>,
        snapshots: SnapshotStore,
        bound: PurgeBound,
        blocking: Arc<dyn Blocking>,
    ) -> io::Result<Self> {
        let log = LogStore::open(engine, bound)?;
        check_reach(&log, &snapshots)?;
        let board = Arc::new(Board::new(M::empty().view(), 0));
        let machine = StateMachine::new(Arc::clone(&board), snapshots.clone(), blocking);
        Ok(Self { log, machine, snapshots, board })
    }
}

impl<R: AsyncRuntime, M: Machine> Storage<R, M> {
    /// The sizes that snapshot and purge policy look at.
    #[must_use]
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(Sizes { log: self.log.clone(), snapshots: self.snapshots.clone() })
    }
}

struct Sizes<R> {
    log: LogStore<R>,
    snapshots: SnapshotStore,
}

impl<R: AsyncRuntime> Journal for Sizes<R> {
    fn log_bytes(&self) -> u64 {
        self.log.bytes_from(self.snapshots.newest_index().map_or(0, |index| index + 1))
    }

    fn snapshot_bytes(&self) -> u64 {
        self.snapshots.newest_bytes()
    }

    fn durable(&self) -> Durable {
        self.log.durable()
    }

    fn purgeable(&self) -> Option<u64> {
        self.snapshots.purgeable_index()
    }

    fn disk(&self) -> DiskReport {
        self.log.disk()
    }
}

/// What was purged from the log must be in a snapshot that can be read.
pub(crate) fn check_reach<R>(log: &LogStore<R>, snapshots: &SnapshotStore) -> io::Result<()> {
    let (purged, newest) = (log.purged_index(), snapshots.newest_index());
    if purged <= newest {
        return Ok(());
    }
    let what =
        format!("the log begins after {purged:?}, but the newest readable snapshot ends at {newest:?}");
    Err(Damage::new(snapshots.folder().place(), what).into())
}

/// Notes beside the log that it exists, or finds it empty although it was noted.
pub(crate) fn mark_made(data: &Path, engine: &SledEngine) -> io::Result<()> {
    let mark = data.join(LOG_MADE);
    if mark.exists() {
        if log_store::is_new(engine)? {
            return Err(Damage::new(engine.file(), "the log is empty, but it had been written").into());
        }
        return Ok(());
    }
    log_store::mark_format(engine);
    let (sender, receiver) = mpsc::channel();
    engine.submit(Batch::default(), Box::new(move |result| drop(sender.send(result))));
    receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the log's engine has stopped")))?;
    fs::write(&mark, b"")?;
    File::open(&mark)?.sync_all()
}
