//! The files of snapshots on a simulated disk: bytes and names are durable only once they are synced.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, MutexGuard};

use circlet_raft::folder::Folder;

use super::{Disk, flip_a_bit};
use crate::dice::Dice;
use crate::plant::Plant;
use crate::scope::{self, lock};

mod floors;

pub use floors::{FloorDisk, Spoilt};

/// A file's number, whatever it is called.
type Inode = u64;

/// All files of one disk.
#[derive(Clone, Debug, Default)]
pub struct Files {
    inodes: BTreeMap<Inode, Content>,
    next: Inode,
    names: BTreeMap<String, Inode>,
    synced_names: BTreeMap<String, Inode>,
    /// Changes of names since they were synced, in order; a crash keeps a prefix of them.
    unsynced_names: Vec<Renaming>,
    /// Operations until the power goes.
    armed: Option<u64>,
    halted: bool,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    synced: usize,
}

/// One change of a folder: names that come, and some that go, at once.
#[derive(Clone, Debug, Default)]
struct Renaming {
    comes: Vec<(String, Inode)>,
    goes: Vec<String>,
}

impl Renaming {
    fn apply(self, names: &mut BTreeMap<String, Inode>) {
        for name in self.goes {
            names.remove(&name);
        }
        names.extend(self.comes);
    }
}

impl Files {
    /// Loses a part of what isn't synced: the end of each file, and the later changes of names.
    pub(super) fn crash(&mut self, dice: &Dice) {
        (self.armed, self.halted) = (None, false);
        let kept = dice.between(0, self.unsynced_names.len() as u64);
        let kept = usize::try_from(kept).unwrap_or(0);
        for renaming in std::mem::take(&mut self.unsynced_names).into_iter().take(kept) {
            renaming.apply(&mut self.synced_names);
        }
        self.names.clone_from(&self.synced_names);
        let named: Vec<Inode> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        for content in self.inodes.values_mut() {
            let (synced, whole) = (content.synced as u64, content.bytes.len() as u64);
            let length = usize::try_from(dice.between(synced, whole)).unwrap_or(content.synced);
            content.bytes.truncate(length);
            if dice.percent(30) {
                // The file grew, and what it grew by never arrived.
                content.bytes.resize(usize::try_from(whole).unwrap_or(length), 0);
            }
            content.synced = content.bytes.len();
        }
    }

    /// What each file that would be left holds for certain.
    pub(super) fn durable(&self) -> Vec<Vec<u8>> {
        let contents = self.synced_names.values().filter_map(|inode| self.inodes.get(inode));
        contents.map(|content| content.bytes.get(..content.synced).unwrap_or_default().to_vec()).collect()
    }

    pub(super) fn damage(&mut self, dice: &Dice) -> bool {
        let names: Vec<Inode> = self.names.values().copied().collect();
        let content = dice.pick(&names).and_then(|inode| self.inodes.get_mut(inode));
        content.is_some_and(|content| flip_a_bit(&mut content.bytes, dice))
    }

    /// Damages the file of this name: a bit flips, its end is gone, or all of it. Says what was done, if it is there.
    pub(super) fn damage_named(&mut self, name: &str, dice: &Dice) -> Option<&'static str> {
        let inode = self.inode(name).ok()?;
        let content = self.inodes.get_mut(&inode)?;
        match dice.between(0, 2) {
            0 => {
                self.names.remove(name);
                self.synced_names.remove(name);
                Some("gone")
            }
            1 => {
                let left = dice.between(0, (content.bytes.len() as u64).saturating_sub(1));
                content.bytes.truncate(usize::try_from(left).unwrap_or(0));
                content.synced = content.synced.min(content.bytes.len());
                Some("cut off")
            }
            _ => flip_a_bit(&mut content.bytes, dice).then_some("changed by a bit"),
        }
    }

    pub(super) fn arm(&mut self, operations: Option<u64>) {
        self.armed = operations;
    }

    pub(super) fn is_halted(&self) -> bool {
        self.halted
    }

    fn inode(&self, name: &str) -> io::Result<Inode> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn content(&self, name: &str) -> io::Result<&Content> {
        self.inodes.get(&self.inode(name)?).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create(&mut self, name: &str) -> Inode {
        self.next += 1;
        self.inodes.insert(self.next, Content::default());
        self.rename(Renaming { comes: vec![(name.to_owned(), self.next)], ..Renaming::default() });
        self.next
    }

    fn sync_names(&mut self) {
        for renaming in std::mem::take(&mut self.unsynced_names) {
            renaming.apply(&mut self.synced_names);
        }
        let named: Vec<Inode> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    fn rename(&mut self, renaming: Renaming) {
        renaming.clone().apply(&mut self.names);
        self.unsynced_names.push(renaming);
    }

    /// Lets an operation begin, unless the power is gone or goes now.
    fn begin(&mut self) -> io::Result<()> {
        match &mut self.armed {
            Some(0) => self.halted = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if !self.halted {
            return Ok(());
        }
        if let Some(scope) = scope::current() {
            // Nothing of this node happens any more; it is killed soon.
            scope.freeze();
        }
        Err(io::Error::other("the power is gone"))
    }
}

/// Which files of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Snapshots,
    Keys,
}

/// A [`Folder`] on a [`Disk`].
#[derive(Clone)]
pub struct DiskFolder {
    disk: Arc<Disk>,
    kind: Kind,
}

impl DiskFolder {
    /// The folder with snapshots.
    #[must_use]
    pub fn of_snapshots(disk: Arc<Disk>) -> Self {
        Self { disk, kind: Kind::Snapshots }
    }

    /// The folder with keys.
    #[must_use]
    pub fn of_keys(disk: Arc<Disk>) -> Self {
        Self { disk, kind: Kind::Keys }
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        lock(match self.kind {
            Kind::Snapshots => &self.disk.files,
            Kind::Keys => &self.disk.keys,
        })
    }

    /// Whether syncing does nothing, because that was planted.
    fn forgets_to_sync(&self) -> bool {
        let planted = match self.kind {
            Kind::Snapshots => Plant::UnsyncedSnapshots,
            Kind::Keys => Plant::UnsyncedKeys,
        };
        scope::current().is_some_and(|scope| scope.history().plant() == planted)
    }

    /// Changes the files, if the disk takes changes now.
    fn change<T>(&self, change: impl FnOnce(&mut Files) -> io::Result<T>) -> io::Result<T> {
        let mut files = self.files();
        files.begin()?;
        let keys = self.kind == Kind::Keys;
        match self.disk.habits().failure(keys) {
            Some(failure) => {
                self.disk.set(|habits| {
                    // A node that can't write its first snapshot stops itself.
                    habits.hurt |= !keys;
                    habits.snapshot_refused |= habits.full && !keys;
                    habits.key_refused |= keys;
                });
                Err(failure)
            }
            None => change(&mut files),
        }
    }
}

impl Folder for DiskFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Write + Send>> {
        self.change(|files| {
            let inode = files.create(name);
            Ok(Box::new(Appending { folder: self.clone(), inode }) as Box<dyn Write + Send>)
        })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.files().content(name)?.bytes.clone();
        Ok(Box::new(io::Cursor::new(bytes)))
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        Ok(self.files().content(name)?.bytes.len() as u64)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.change(|files| {
            let inode = files.inode(name)?;
            if self.forgets_to_sync() {
                return Ok(());
            }
            if let Some(content) = files.inodes.get_mut(&inode) {
                content.synced = content.bytes.len();
            }
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|files| {
            let inode = files.inode(from)?;
            files.rename(Renaming { comes: vec![(to.to_owned(), inode)], goes: vec![from.to_owned()] });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut files = self.files();
        files.begin()?;
        files.inode(name)?;
        files.rename(Renaming { goes: vec![name.to_owned()], ..Renaming::default() });
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.change(|files| {
            if self.forgets_to_sync() {
                return Ok(());
            }
            files.sync_names();
            Ok(())
        })
    }

    fn place(&self) -> String {
        "the simulated disk".to_owned()
    }
}

/// The end of a file.
struct Appending {
    folder: DiskFolder,
    inode: Inode,
}

impl Write for Appending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.folder.change(|files| {
            let content = files.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
            content.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
