//! A complete snapshot in a file: what the state machine hands to the network, and the network to it.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use openraft::AsyncRuntime;
use openraft::storage::RaftStateMachine;

use crate::folder::Folder;
use crate::types::Types;

/// A snapshot file; one that was received and not taken over is removed when dropped.
pub struct SnapshotFile {
    folder: Arc<dyn Folder>,
    name: String,
    bytes: u64,
    /// Received, and nobody's yet.
    incoming: bool,
}

impl SnapshotFile {
    /// A snapshot that its owner keeps in `folder` under this name.
    pub fn kept(folder: Arc<dyn Folder>, name: String) -> io::Result<Self> {
        let bytes = folder.bytes(&name)?;
        Ok(Self { folder, name, bytes, incoming: false })
    }

    /// A new empty file in `folder`, to receive a snapshot into.
    pub fn incoming(folder: &Arc<dyn Folder>) -> io::Result<(Self, Box<dyn Write + Send>)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("incoming-{}-{number}.part", std::process::id());
        let file = folder.create(&name)?;
        Ok((Self { folder: Arc::clone(folder), name, bytes: 0, incoming: true }, file))
    }

    /// Notes the size once everything has been received.
    #[must_use]
    pub fn received(mut self, bytes: u64) -> Self {
        self.bytes = bytes;
        self
    }

    /// Reads it from its beginning.
    pub fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        self.folder.open(&self.name)
    }

    /// Its name in its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.folder.place(), self.name)
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether it lies in this folder.
    pub(crate) fn is_in(&self, folder: &Arc<dyn Folder>) -> bool {
        Arc::ptr_eq(&self.folder, folder)
    }

    /// Gives a received file its name; the caller makes both file and name durable.
    pub fn rename_to(mut self, name: String) -> io::Result<Self> {
        self.folder.rename(&self.name, &name)?;
        self.incoming = false;
        Self::kept(Arc::clone(&self.folder), name)
    }
}

impl fmt::Debug for SnapshotFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotFile")
            .field("place", &self.place())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if self.incoming {
            // A leftover only costs room, and the next start clears it.
            let _ = self.folder.remove(&self.name);
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
