//! A complete snapshot in a file: what the state machine hands to the network, and the network to it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::AsyncRuntime;
use openraft::storage::RaftStateMachine;

use crate::types::Types;

/// A snapshot file; one that was received and not taken over is removed when dropped.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    bytes: u64,
    /// Received, and nobody's yet.
    incoming: bool,
}

impl SnapshotFile {
    /// A snapshot that its owner keeps at `path`.
    pub fn kept(path: PathBuf) -> io::Result<Self> {
        let bytes = fs::metadata(&path)?.len();
        Ok(Self { path, bytes, incoming: false })
    }

    /// A new empty file in `folder`, to receive a snapshot into.
    pub fn incoming(folder: &Path) -> io::Result<(Self, File)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("incoming-{}-{number}.part", std::process::id()));
        let file = File::options().write(true).create(true).truncate(true).open(&path)?;
        Ok((Self { path, bytes: 0, incoming: true }, file))
    }

    /// Notes the size once everything has been received.
    #[must_use]
    pub fn received(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Moves a received file to its place; the caller makes both file and folder durable.
    pub fn rename_to(mut self, place: &Path) -> io::Result<Self> {
        fs::rename(&self.path, place)?;
        self.incoming = false;
        Self::kept(place.to_owned())
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.incoming {
            // A leftover only costs room, and the next start clears it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// An openraft state machine whose snapshots are files.
pub trait FileMachine<R: AsyncRuntime>: RaftStateMachine<Types<R>, SnapshotData = SnapshotFile> {}

impl<R, S> FileMachine<R> for S
where
    R: AsyncRuntime,
    S: RaftStateMachine<Types<R>, SnapshotData = SnapshotFile>,
{
}
