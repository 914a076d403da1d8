//! Where floors lie, and how whoever restores takes them away from nodes that may still live: by renaming the folder that
//! holds all of them, which is one step for any number of nodes.

use std::io;
use std::path::{Path, PathBuf};

use super::storage::{Root, Storage};

/// The floors of one generation of a cluster below one directory.
#[derive(Debug, Clone)]
pub struct Place {
    root: Root,
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
    pub fn new(root: &Root, ulid: &str, generation: u64) -> Self {
        Self { root: root.clone(), ulid: ulid.to_owned(), generation }
    }

    /// The directory that the operator has named.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root.dir
    }

    /// What it is on.
    #[must_use]
    pub fn storage(&self) -> &dyn Storage {
        &*self.root.storage
    }

    /// The folder in this phase.
    #[must_use]
    pub fn folder(&self, phase: Phase) -> PathBuf {
        let ending = match phase {
            Phase::Open => "",
            Phase::Sealed => ".sealed",
            Phase::Spent => ".spent",
        };
        self.root.dir.join(format!("{}.{}{ending}", self.ulid, self.generation))
    }

    /// The file of a node in this phase.
    #[must_use]
    pub fn file(&self, node_id: u64, phase: Phase) -> PathBuf {
        self.folder(phase).join(format!("{node_id}.floor"))
    }

    /// Whether nodes of this generation have been fenced off.
    pub fn is_closed(&self) -> io::Result<bool> {
        Ok(self.exists(Phase::Sealed)? || self.exists(Phase::Spent)?)
    }

    /// In which phase the floors are; `None` if there are none. One that was sealed counts, whatever a node that lives on has
    /// made anew beside it.
    pub fn phase(&self) -> io::Result<Option<Phase>> {
        for phase in [Phase::Spent, Phase::Sealed, Phase::Open] {
            if self.exists(phase)? {
                return Ok(Some(phase));
            }
        }
        Ok(None)
    }

    /// Moves all the floors from one phase to another, in one durable step.
    pub fn turn(&self, from: Phase, to: Phase) -> io::Result<()> {
        self.storage().rename(&self.folder(from), &self.folder(to))?;
        self.storage().sync_folder(self.root())
    }

    /// Makes the folder, if nobody has.
    pub fn make(&self) -> io::Result<()> {
        // The directory itself is the operator's: where its storage is not mounted, none is made in its stead.
        match self.storage().make_folder(&self.folder(Phase::Open)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| self.storage().sync_folder(self.root())),
        }
    }

    /// The generations of this cluster that came after this one and have floors here.
    pub fn later(&self) -> io::Result<Vec<u64>> {
        let mut later = Vec::new();
        for name in self.storage().names(self.root())? {
            let rest = name.strip_prefix(&self.ulid).and_then(|rest| rest.strip_prefix('.'));
            let number = rest.and_then(|rest| rest.split('.').next()?.parse::<u64>().ok());
            later.extend(number.filter(|number| *number > self.generation));
        }
        later.sort_unstable();
        later.dedup();
        Ok(later)
    }

    fn exists(&self, phase: Phase) -> io::Result<bool> {
        self.storage().exists(&self.folder(phase))
    }
}
