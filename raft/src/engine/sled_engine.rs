//! The engine on sled, made durable: sled's own flush is not.
//!
//! On Linux `sled::Db::flush` ends in `sync_file_range`, which orders nothing and reaches no metadata; after a
//! power cut acknowledged entries are missing or the store doesn't open. So every flush is followed by
//! `fdatasync` on sled's one data file, and creating it by `fsync` of its folders.
//!
//! A leaf of sled's tree that outgrows a quarter of a segment goes to a file of its own, which sled syncs
//! never. A leaf holds up to 17 records, so a record is small enough ([`VALUE_BYTES_MAX`]) that leaves of the
//! largest ones stay inside the data file. Larger segments would take larger records, but sled holds a few whole
//! segments in memory.

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::flusher::{self, Failure, Target, Work};
use super::pulse::{DiskReport, Pulse};
use super::{Batch, Change, Done, Engine, Visit};
use crate::damage::Damage;

/// Part of the format: a store opens only with the size it was made with.
const SEGMENT_BYTES: usize = 512 << 10;
/// The largest value that can never end up outside the data file: 20 of them make less than a quarter segment.
pub const VALUE_BYTES_MAX: usize = 6 << 10;
/// Free space that a round of writes needs beside its own size: sled grows its file by segments, and writes a leaf anew
/// for every few records in it.
const ROOM_BYTES: u64 = 16 << 20;
/// Memory that sled may use for pages.
const CACHE_BYTES: u64 = 16 << 20;
/// sled's data file inside its folder.
const DATA_FILE: &str = "db";
/// How long opening waits for the last owner to let go of the data file. sled's own threads may keep it, and
/// its lock, a little longer than the store that was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How often it looks meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(5);

/// What follows each of sled's flushes; `fdatasync` unless a test says otherwise.
pub type Sync = Box<dyn FnMut(&File) -> io::Result<()> + Send>;

/// How much was made durable, for status pages and tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushCount {
    /// Batches handed over so far.
    pub batches: u64,
    /// Flushes that made them durable; fewer under load.
    pub flushes: u64,
}

/// An [`Engine`] in a folder.
pub struct SledEngine {
    tree: sled::Tree,
    /// Taken when the engine is dropped, which ends the flusher.
    queue: Option<Sender<Work>>,
    flusher: Option<JoinHandle<()>>,
    failure: Failure,
    batches: AtomicU64,
    flushes: Arc<AtomicU64>,
    pulse: Arc<Pulse>,
    file: PathBuf,
}

impl SledEngine {
    /// Opens the store in `folder`, or creates it there.
    ///
    /// # Errors
    /// [`Damage`] when sled can't read what is there, other errors of the file system as they are.
    pub fn open(folder: &Path) -> io::Result<Self> {
        Self::open_with(folder, Box::new(File::sync_data))
    }

    /// Opens it with another way to sync than `fdatasync`: for tests that count, fail or omit it. Reachable
    /// from no configuration.
    pub fn open_with(folder: &Path, sync: Sync) -> io::Result<Self> {
        let file = folder.join(DATA_FILE);
        fs::create_dir_all(folder)?;
        wait_until_unlocked(&file, LOCK_WAIT)?;
        let db = open_sled(folder, &file)?;
        sync_files(folder)?;
        let tree = db.open_tree(b"raft").map_err(io::Error::from)?;
        db.flush()?;
        let data = File::open(&file)?;
        data.sync_all()?;

        let failure = Failure::default();
        let flushes = Arc::new(AtomicU64::new(0));
        let (queue, works) = channel();
        let mut target = SledTarget { db, tree: tree.clone(), data, sync, flushes: Arc::clone(&flushes) };
        let pulse = Arc::new(Pulse::new());
        let (seen, beating) = (failure.clone(), Arc::clone(&pulse));
        let thread = thread::Builder::new()
            .name("log-flusher".into())
            .spawn(move || flusher::run(&works, &mut target, &seen, &beating))?;
        Ok(Self {
            tree,
            queue: Some(queue),
            flusher: Some(thread),
            failure,
            batches: AtomicU64::new(0),
            flushes,
            pulse,
            file,
        })
    }

    /// What was made durable so far.
    #[must_use]
    pub fn flush_count(&self) -> FlushCount {
        FlushCount {
            batches: self.batches.load(Ordering::Relaxed),
            flushes: self.flushes.load(Ordering::Relaxed),
        }
    }

    fn send(&self, batch: Batch, done: Option<Done>) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        let work = Work { batch, done };
        self.pulse.queued();
        let rejected = match &self.queue {
            Some(queue) => queue.send(work).err().map(|refused| refused.0),
            None => Some(work),
        };
        // The flusher ends before its engine only if it panicked.
        if let Some(Work { done: Some(done), .. }) = rejected {
            done(Err(io::Error::other("the thread that writes the log has stopped")));
        }
    }
}

impl Engine for SledEngine {
    fn submit(&self, batch: Batch, done: Done) {
        self.send(batch, Some(done));
    }

    fn submit_lazily(&self, batch: Batch) {
        self.send(batch, None);
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let value = self.tree.get(key).map_err(|error| damage(&self.file, error))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> io::Result<()> {
        for pair in self.tree.range(from..to) {
            let (key, value) = pair.map_err(|error| damage(&self.file, error))?;
            if visit(&key, &value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn failure(&self) -> Option<String> {
        self.failure.reason()
    }

    fn disk(&self) -> DiskReport {
        self.pulse.report(self.failure.reason().is_some())
    }

    fn file(&self) -> String {
        self.file.display().to_string()
    }
}

/// Waits for the last flush, so that the folder can be opened again at once.
impl Drop for SledEngine {
    fn drop(&mut self) {
        self.pulse.close();
        self.queue = None;
        let Some(flusher) = self.flusher.take() else { return };
        // A callback that runs on the flusher may own the last reference.
        if flusher.thread().id() != thread::current().id() && flusher.join().is_err() {
            tracing::error!("the thread that writes the log panicked");
        }
    }
}

/// The flusher's side of the store.
struct SledTarget {
    db: sled::Db,
    tree: sled::Tree,
    data: File,
    sync: Sync,
    flushes: Arc<AtomicU64>,
}

impl Target for SledTarget {
    fn has_room(&self, changes: &[Change]) -> bool {
        let bytes: usize = changes.iter().map(Change::bytes).sum();
        // Where nothing can be learned about the disk, writing to it tells.
        let Ok(disk) = rustix::fs::fstatvfs(&self.data) else { return true };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        free >= ROOM_BYTES.saturating_add(bytes as u64)
    }

    fn apply(&mut self, changes: Vec<Change>) -> io::Result<()> {
        let mut batch = sled::Batch::default();
        for change in changes {
            match change {
                Change::Put(key, value) if value.len() > VALUE_BYTES_MAX => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!("{} bytes for key {key:02x?}, at most {VALUE_BYTES_MAX}", value.len()),
                    ));
                }
                Change::Put(key, value) => batch.insert(key, value),
                Change::Remove(key) => batch.remove(key),
            }
        }
        self.tree.apply_batch(batch).map_err(io::Error::from)
    }

    fn make_durable(&mut self) -> io::Result<()> {
        self.db.flush()?;
        (self.sync)(&self.data)?;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Returns when nobody holds sled's lock on the data file any more, or fails after `patience`.
fn wait_until_unlocked(file: &Path, patience: Duration) -> io::Result<()> {
    let data = match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    let deadline = Instant::now() + patience;
    loop {
        match data.try_lock() {
            Ok(()) => return data.unlock(),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(
                    io::ErrorKind::WouldBlock,
                    format!("{} is locked by another process; stop that process first", file.display()),
                ));
            }
        }
    }
}

/// Opens sled, which returns an error for some damage and panics for other.
fn open_sled(folder: &Path, file: &Path) -> io::Result<sled::Db> {
    let config = sled::Config::default()
        .path(folder)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => opened.map_err(|error| damage(file, error)),
        Err(_) => Err(Damage::new(file.display().to_string(), "the store can't read its own pages").into()),
    }
}

/// Names the file when sled says that something is wrong inside of it.
fn damage(file: &Path, error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => Damage::new(file.display().to_string(), other.to_string()).into(),
    }
}

/// Makes the folder and what was created in it survive a power cut: contents first, then the names.
fn sync_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_none_or(|kind| kind != "generating") {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()?;
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn wait(engine: &SledEngine, batch: Batch) -> io::Result<()> {
        let (sender, receiver) = channel();
        engine.submit(batch, Box::new(move |result| sender.send(result).unwrap()));
        receiver.recv().unwrap()
    }

    #[test]
    fn batches_are_there_after_opening_again() {
        let folder = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(*b"a", vec![1]);
        batch.put(*b"b", vec![2]);
        wait(&engine, batch).unwrap();
        let mut batch = Batch::default();
        batch.remove(*b"a");
        batch.put(*b"c", vec![3]);
        engine.submit_lazily(batch);
        drop(engine);

        let engine = SledEngine::open(folder.path()).unwrap();
        let mut seen = Vec::new();
        engine
            .scan(b"a", b"z", &mut |key, value| {
                seen.push((key.to_vec(), value.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, [(b"b".to_vec(), vec![2]), (b"c".to_vec(), vec![3])]);
        assert_eq!(engine.get(b"b").unwrap(), Some(vec![2]));
        assert_eq!(engine.get(b"a").unwrap(), None);
    }

    #[test]
    fn opening_waits_until_the_last_owner_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        drop(SledEngine::open(folder.path()).unwrap());
        let file = folder.path().join(DATA_FILE);
        wait_until_unlocked(&file, LOCK_WAIT).unwrap();
        let owner = File::open(&file).unwrap();
        owner.lock().unwrap();
        let refused = wait_until_unlocked(&file, Duration::ZERO).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock, "{refused}");

        let opened = thread::scope(|scope| {
            let opening = scope.spawn(|| SledEngine::open(folder.path()).map(drop));
            drop(owner);
            opening.join().unwrap()
        });
        opened.unwrap();
    }

    #[test]
    fn leaves_of_the_largest_values_stay_inside_the_data_file() {
        let folder = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(folder.path()).unwrap();
        for round in 0..8_u8 {
            let mut batch = Batch::default();
            for key in 0..32_u8 {
                batch.put([round, key], vec![round ^ key; VALUE_BYTES_MAX]);
            }
            wait(&engine, batch).unwrap();
        }
        let blobs = fs::read_dir(folder.path().join("blobs")).unwrap().count();
        assert_eq!(blobs, 0, "sled never syncs its blobs");
    }

    #[test]
    fn a_value_that_could_leave_the_data_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(folder.path()).unwrap();
        let mut batch = Batch::default();
        batch.put(*b"big", vec![0; VALUE_BYTES_MAX + 1]);
        assert!(wait(&engine, batch).is_err());
    }

    #[test]
    fn a_failed_fsync_poisons_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let sync: Sync = Box::new(|_| Err(io::Error::other("injected")));
        let engine = SledEngine::open_with(folder.path(), sync).unwrap();
        let mut batch = Batch::default();
        batch.put(*b"a", vec![1]);
        assert!(wait(&engine, batch).is_err());
        assert!(engine.failure().unwrap().contains("injected"));
        assert!(wait(&engine, Batch::default()).is_err());
    }
}
