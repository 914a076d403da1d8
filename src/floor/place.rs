//! Where floors lie, and how whoever restores takes them away from nodes that may still live: by renaming the folder that
//! holds all of them, which is one step for any number of nodes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The floors of one generation of a cluster below one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    ulid: String,
    generation: u64,
}

/// What has become of a folder of floors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nodes write to it.
    Open,
    /// Nodes were fenced off.
    Sealed,
    /// A later generation has begun from it.
    Spent,
}

impl Place {
    /// The floors of a generation of the cluster with this unique part of its service id, below `root`.
    #[must_use]
    pub fn new(root: &Path, ulid: &str, generation: u64) -> Self {
        Self { root: root.to_owned(), ulid: ulid.to_owned(), generation }
    }

    /// The directory that the operator has named.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder in this phase.
    #[must_use]
    pub fn folder(&self, phase: Phase) -> PathBuf {
        let ending = match phase {
            Phase::Open => "",
            Phase::Sealed => ".sealed",
            Phase::Spent => ".spent",
        };
        self.root.join(format!("{}.{}{ending}", self.ulid, self.generation))
    }

    /// The file of a node in this phase.
    #[must_use]
    pub fn file(&self, node_id: u64, phase: Phase) -> PathBuf {
        self.folder(phase).join(format!("{node_id}.floor"))
    }

    /// Whether nodes of this generation have been fenced off.
    pub fn is_closed(&self) -> io::Result<bool> {
        Ok(self.folder(Phase::Sealed).try_exists()? || self.folder(Phase::Spent).try_exists()?)
    }

    /// In which phase the floors are; `None` if there are none. One that was sealed counts, whatever a node that lives on has
    /// made anew beside it.
    pub fn phase(&self) -> io::Result<Option<Phase>> {
        for phase in [Phase::Spent, Phase::Sealed, Phase::Open] {
            if self.folder(phase).try_exists()? {
                return Ok(Some(phase));
            }
        }
        Ok(None)
    }

    /// Moves all the floors from one phase to another, in one durable step.
    pub fn turn(&self, from: Phase, to: Phase) -> io::Result<()> {
        fs::rename(self.folder(from), self.folder(to))?;
        self.sync_root()
    }

    /// Makes the folder, if nobody has.
    pub fn make(&self) -> io::Result<()> {
        // The directory itself is the operator's: where its storage is not mounted, none is made in its stead.
        match fs::create_dir(self.folder(Phase::Open)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| self.sync_root()),
        }
    }

    /// The generations of this cluster that came after this one and have floors here.
    pub fn later(&self) -> io::Result<Vec<u64>> {
        let mut later = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let name = entry?.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(&self.ulid)?.strip_prefix('.'));
            let number = rest.and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
            later.extend(number.filter(|number| *number > self.generation));
        }
        later.sort_unstable();
        later.dedup();
        Ok(later)
    }

    fn sync_root(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
}
