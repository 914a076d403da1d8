//! Snapshots as files: written aside, checksummed, made durable, renamed into place; the last two are kept.
//!
//! ```text
//! snapshots/snapshot-00000000000000012345      the state after all entries below 12345
//! snapshots/*.part                             on its way in; removed at the next start
//! snapshots/*.damaged                          failed its checks; the newest one is left for a look at it
//! ```
//! The log may be purged only up to the older of the two, so that one damaged file costs nothing but time.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::log_store::PurgeBound;
use crate::log_store::record::Meta;
use crate::machine::{Capture, Machine};
use crate::snapshot_file::SnapshotFile;

mod format;

/// Snapshots kept; the log reaches back to the oldest of them.
const KEPT: usize = 2;
const PREFIX: &str = "snapshot-";

/// The folder of snapshots; clones are handles to the same.
#[derive(Clone)]
pub struct SnapshotStore(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    bound: PurgeBound,
    /// Newest first.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    meta: Meta,
    path: PathBuf,
}

impl SnapshotStore {
    /// Opens the folder, checks every snapshot in it, sets damaged ones aside with a loud message, and clears
    /// leftovers. Blocks as long as reading all of it takes.
    pub fn open(folder: &Path, bound: PurgeBound) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut kept = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.extension().is_some_and(|kind| kind == "part") {
                fs::remove_file(&path)?;
            } else if is_snapshot(&name) {
                match check(&path) {
                    Ok(meta) => kept.push(Kept { meta, path }),
                    Err(error) => set_aside(folder, &path, &error)?,
                }
            }
        }
        kept.sort_by_key(|kept| Reverse(kept.meta.last_log_id));
        let store = Self(Arc::new(Inner { folder: folder.to_owned(), bound, kept: Mutex::new(kept) }));
        store.prune()?;
        Ok(store)
    }

    /// The newest snapshot: what it holds, and its file.
    pub(crate) fn current(&self) -> io::Result<Option<(Meta, SnapshotFile)>> {
        let kept = self.kept();
        let Some(newest) = kept.first() else { return Ok(None) };
        Ok(Some((newest.meta.clone(), SnapshotFile::kept(newest.path.clone())?)))
    }

    /// The index of the last entry in the newest snapshot.
    #[must_use]
    pub fn newest_index(&self) -> Option<u64> {
        self.kept().first()?.meta.last_log_id.map(|last| last.index())
    }

    /// The index of the last entry in the older kept snapshot: the log may be purged up to here.
    #[must_use]
    pub fn purgeable_index(&self) -> Option<u64> {
        self.kept().get(KEPT - 1)?.meta.last_log_id.map(|last| last.index())
    }

    /// The size of the newest snapshot; 0 before the first.
    #[must_use]
    pub fn newest_bytes(&self) -> u64 {
        let path = self.kept().first().map(|newest| newest.path.clone());
        path.and_then(|path| fs::metadata(path).ok()).map_or(0, |data| data.len())
    }

    /// A new file here to receive a snapshot into. [`check_received`] it before Raft is told to install it.
    pub fn incoming(&self) -> io::Result<(SnapshotFile, File)> {
        SnapshotFile::incoming(&self.0.folder)
    }

    /// The folder, for messages.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Writes what was captured and keeps it. Blocks.
    pub(crate) fn build(&self, meta: &Meta, capture: Capture) -> io::Result<SnapshotFile> {
        let (incoming, file) = self.incoming()?;
        let mut writer = format::Writer::start(file, meta)?;
        capture(&mut writer)?;
        let file = writer.finish()?;
        self.keep(incoming, &file, meta)
    }

    /// Reads a machine out of a snapshot, then keeps the file if it isn't one of ours already. Blocks.
    pub(crate) fn install<M: Machine>(&self, meta: &Meta, file: SnapshotFile) -> io::Result<M> {
        let machine = restore(file.path(), meta)?;
        if self.kept().iter().any(|kept| kept.path == file.path()) {
            return Ok(machine);
        }
        let file = if file.path().parent() == Some(&self.0.folder) { file } else { self.copy(&file)? };
        let data = File::open(file.path())?;
        self.keep(file, &data, meta)?;
        Ok(machine)
    }

    fn copy(&self, from: &SnapshotFile) -> io::Result<SnapshotFile> {
        let (copy, mut file) = self.incoming()?;
        let bytes = io::copy(&mut File::open(from.path())?, &mut file)?;
        Ok(copy.received(bytes))
    }

    /// Makes a complete file durable, then its name, and lets go of the oldest.
    fn keep(&self, incoming: SnapshotFile, file: &File, meta: &Meta) -> io::Result<SnapshotFile> {
        file.sync_all()?;
        let next = meta.last_log_id.map_or(0, |last| last.index() + 1);
        let path = self.0.folder.join(format!("{PREFIX}{next:020}"));
        let named = incoming.rename_to(&path)?;
        sync_folder(&self.0.folder)?;
        {
            let mut kept = self.kept();
            kept.retain(|kept| kept.path != path);
            kept.push(Kept { meta: meta.clone(), path });
            kept.sort_by_key(|kept| Reverse(kept.meta.last_log_id));
        }
        self.prune()?;
        Ok(named)
    }

    /// Removes all but the newest two, after the purge bound says so.
    fn prune(&self) -> io::Result<()> {
        let dropped = {
            let mut kept = self.kept();
            let keep = kept.len().min(KEPT);
            let dropped = kept.split_off(keep);
            let older = kept.get(KEPT - 1).and_then(|kept| kept.meta.last_log_id);
            self.0.bound.keep_from(older.map_or(0, |last| last.index() + 1));
            dropped
        };
        for old in &dropped {
            fs::remove_file(&old.path)?;
        }
        sync_folder(&self.0.folder)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a whole snapshot file and checks it; returns what it holds. Blocks.
pub(crate) fn check(path: &Path) -> io::Result<Meta> {
    let reader = format::Reader::start(File::open(path)?)?;
    let meta = reader.meta().clone();
    reader.drain()?;
    Ok(meta)
}

/// What a snapshot holds: the last entry, and the members then.
pub type SnapshotMeta = Meta;

/// Reads a whole received file and checks it against what its sender said that it holds. Blocks.
pub fn check_received(file: &SnapshotFile, meta: &SnapshotMeta) -> io::Result<()> {
    let found = check(file.path())?;
    if found == *meta {
        return Ok(());
    }
    let what = format!("a snapshot of {found}, announced as {meta}");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// The machine in a snapshot. Every byte is checked on the way, and none may be left over.
fn restore<M: Machine>(path: &Path, meta: &Meta) -> io::Result<M> {
    let name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut reader = format::Reader::start(File::open(path)?).map_err(name)?;
    if reader.meta() != meta {
        let what = format!("holds {}, not {meta}", reader.meta());
        return Err(name(io::Error::new(io::ErrorKind::InvalidData, what)));
    }
    let machine =
        M::restore(&mut reader).map_err(|what| name(io::Error::new(io::ErrorKind::InvalidData, what)))?;
    if !reader.is_used_up().map_err(name)? {
        return Err(name(io::Error::new(io::ErrorKind::InvalidData, "more state than was read")));
    }
    reader.drain().map_err(name)?;
    Ok(machine)
}

fn is_snapshot(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Renames a damaged snapshot, in place of an earlier one, so that it is never read again but can be looked at.
fn set_aside(folder: &Path, path: &Path, error: &io::Error) -> io::Result<()> {
    tracing::error!(
        file = %path.display(), %error,
        "snapshot is damaged and skipped; the older one and the log take its place. Check this disk"
    );
    fs::rename(path, folder.join("snapshot.damaged"))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
