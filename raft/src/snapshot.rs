//! Snapshots as files: written aside, checksummed, made durable, renamed into place; the last two are kept.
//!
//! ```text
//! snapshots/snapshot-00000000000000012345      the state after all entries below 12345
//! snapshots/*.part                             on its way in; removed at the next start
//! snapshots/*.damaged                          failed its checks; the newest one is left for a look at it
//! ```
//! The log may be purged only up to the older of the two, so that one damaged file costs nothing but time.

use std::cmp::Reverse;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::folder::{Folder, RealFolder};
use crate::log_store::PurgeBound;
use crate::log_store::record::Meta;
use crate::machine::{Capture, Machine};
use crate::snapshot_file::SnapshotFile;

pub(crate) mod format;

/// Snapshots kept; the log reaches back to the oldest of them.
const KEPT: usize = 2;
const PREFIX: &str = "snapshot-";
const PART: &str = ".part";

/// The folder of snapshots; clones are handles to the same.
#[derive(Clone)]
pub struct SnapshotStore(Arc<Inner>);

struct Inner {
    folder: Arc<dyn Folder>,
    bound: PurgeBound,
    /// Newest first.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    meta: Meta,
    name: String,
}

impl SnapshotStore {
    /// Opens the folder at `path`, as [`open_in`](Self::open_in) does.
    pub fn open(path: &Path, bound: PurgeBound) -> io::Result<Self> {
        Self::open_in(Arc::new(RealFolder::open(path.to_owned())?), bound)
    }

    /// Opens the folder, checks every snapshot in it, sets damaged ones aside with a loud message, and clears
    /// leftovers. Blocks as long as reading all of it takes.
    pub fn open_in(folder: Arc<dyn Folder>, bound: PurgeBound) -> io::Result<Self> {
        let mut kept = Vec::new();
        for name in folder.names()? {
            if name.ends_with(PART) {
                folder.remove(&name)?;
            } else if is_snapshot(&name) {
                match folder.open(&name).and_then(check) {
                    Ok(meta) => kept.push(Kept { meta, name }),
                    Err(error) => set_aside(folder.as_ref(), &name, &error)?,
                }
            }
        }
        kept.sort_by_key(|kept| Reverse(kept.meta.last_log_id));
        let store = Self(Arc::new(Inner { folder, bound, kept: Mutex::new(kept) }));
        store.prune()?;
        Ok(store)
    }

    /// The newest snapshot: what it holds, and its file.
    pub(crate) fn current(&self) -> io::Result<Option<(Meta, SnapshotFile)>> {
        let kept = self.kept();
        let Some(newest) = kept.first() else { return Ok(None) };
        let file = SnapshotFile::kept(Arc::clone(&self.0.folder), newest.name.clone())?;
        Ok(Some((newest.meta.clone(), file)))
    }

    /// The machine in the newest snapshot. Blocks.
    pub(crate) fn newest<M: Machine>(&self) -> io::Result<Option<(Meta, M)>> {
        let Some((meta, file)) = self.current()? else { return Ok(None) };
        let machine = restore(&file, &meta)?;
        Ok(Some((meta, machine)))
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
        let name = self.kept().first().map(|newest| newest.name.clone());
        name.and_then(|name| self.0.folder.bytes(&name).ok()).unwrap_or(0)
    }

    /// A new file here to receive a snapshot into. [`check_received`] it before Raft is told to install it.
    pub fn incoming(&self) -> io::Result<(SnapshotFile, Box<dyn Write + Send>)> {
        SnapshotFile::incoming(&self.0.folder)
    }

    /// The folder: snapshots are received there too.
    #[must_use]
    pub fn folder(&self) -> Arc<dyn Folder> {
        Arc::clone(&self.0.folder)
    }

    /// Writes what was captured and keeps it. Blocks.
    pub(crate) fn build(&self, meta: &Meta, capture: Capture) -> io::Result<SnapshotFile> {
        let (incoming, file) = self.incoming()?;
        let mut writer = format::Writer::start(file, meta)?;
        capture(&mut writer)?;
        writer.finish()?.flush()?;
        self.keep(incoming, meta)
    }

    /// Reads a machine out of a snapshot, then keeps the file if it isn't one of ours already. Blocks.
    pub(crate) fn install<M: Machine>(&self, meta: &Meta, file: SnapshotFile) -> io::Result<M> {
        let machine = restore(&file, meta)?;
        let here = file.is_in(&self.0.folder);
        if here && self.kept().iter().any(|kept| kept.name == file.name()) {
            return Ok(machine);
        }
        let file = if here { file } else { self.copy(&file)? };
        self.keep(file, meta)?;
        Ok(machine)
    }

    fn copy(&self, from: &SnapshotFile) -> io::Result<SnapshotFile> {
        let (copy, mut file) = self.incoming()?;
        let bytes = io::copy(&mut from.open()?, &mut file)?;
        file.flush()?;
        Ok(copy.received(bytes))
    }

    /// Makes a complete file durable, then its name, and lets go of the oldest.
    fn keep(&self, incoming: SnapshotFile, meta: &Meta) -> io::Result<SnapshotFile> {
        let folder = &self.0.folder;
        folder.sync(incoming.name())?;
        let next = meta.last_log_id.map_or(0, |last| last.index() + 1);
        let name = format!("{PREFIX}{next:020}");
        let named = incoming.rename_to(name.clone())?;
        folder.sync_names()?;
        {
            let mut kept = self.kept();
            kept.retain(|kept| kept.name != name);
            kept.push(Kept { meta: meta.clone(), name });
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
            self.0.folder.remove(&old.name)?;
        }
        self.0.folder.sync_names()
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a whole snapshot file and checks it; returns what it holds. Blocks.
fn check(file: impl Read) -> io::Result<Meta> {
    let reader = format::Reader::start(file)?;
    let meta = reader.meta().clone();
    reader.drain()?;
    Ok(meta)
}

/// What a snapshot holds: the last entry, and the members then.
pub type SnapshotMeta = Meta;

/// Reads a whole received file and checks it against what its sender said that it holds. Blocks.
pub fn check_received(file: &SnapshotFile, meta: &SnapshotMeta) -> io::Result<()> {
    let found = check(file.open()?)?;
    if found == *meta {
        return Ok(());
    }
    let what = format!("a snapshot of {found}, announced as {meta}");
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// The machine in a snapshot. Every byte is checked on the way, and none may be left over.
fn restore<M: Machine>(file: &SnapshotFile, meta: &Meta) -> io::Result<M> {
    let name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", file.place()));
    let mut reader = file.open().and_then(format::Reader::start).map_err(name)?;
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
fn set_aside(folder: &dyn Folder, name: &str, error: &io::Error) -> io::Result<()> {
    tracing::error!(
        folder = folder.place(), file = name, %error,
        "snapshot is damaged and skipped; the older one and the log take its place. Check this disk"
    );
    folder.rename(name, "snapshot.damaged")
}
