//! The storage of one node's revocation floor: another disk than the node's own, which outlives its machine. What isn't synced
//! is lost with the node all the same.

use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Files, Inode, Renaming};
use crate::dice::Dice;
use crate::disk::Habits;
use crate::floor::MOUNT;
use crate::floor::storage::{Stat, Storage, Written};
use crate::plant::Plant;
use crate::scope::{self, lock};

/// One such disk. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub struct FloorDisk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By path below the mount; the name of a folder ends with a slash.
    files: Mutex<Files>,
    habits: Mutex<Habits>,
    away: Mutex<bool>,
}

/// What has become of a floor when somebody wants to build upon it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// It is gone.
    Missing,
    /// A bit of it has flipped.
    Damaged,
    /// In its place there is a copy.
    Copied,
    /// Its storage can't be reached.
    Away,
}

impl FloorDisk {
    /// Changes how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut lock(&self.0.habits));
    }

    /// Whether it can't be reached.
    pub fn set_away(&self, away: bool) {
        *lock(&self.0.away) = away;
    }

    /// All is well with it again.
    pub fn mend(&self) {
        self.set(|habits| *habits = Habits::default());
        self.set_away(false);
        lock(&self.0.files).arm(None);
    }

    /// The power goes at the operation that comes after so many others.
    pub fn arm(&self, operations: Option<u64>) {
        lock(&self.0.files).arm(operations);
    }

    /// Whether the power went where it had been armed.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        lock(&self.0.files).is_halted()
    }

    /// How long a sync takes now, in microseconds.
    #[must_use]
    pub fn takes_us(&self, dice: &Dice) -> u64 {
        let habits = *lock(&self.0.habits);
        dice.between(habits.sync_us_min, habits.sync_us_max)
    }

    /// Loses a part of what isn't synced.
    pub fn crash(&self, dice: &Dice) {
        lock(&self.0.files).crash(dice);
    }

    /// Does this to the floor on it; false if there is none.
    #[must_use]
    pub fn spoil(&self, how: Spoilt, dice: &Dice) -> bool {
        let mut files = lock(&self.0.files);
        let floor = files.names.iter().find(|(name, _)| name.strip_suffix(".floor").is_some());
        let Some((name, inode)) = floor.map(|(name, inode)| (name.clone(), *inode)) else { return false };
        match how {
            Spoilt::Missing => drop(files.names.remove(&name)),
            Spoilt::Damaged => {
                let Some(content) = files.inodes.get_mut(&inode) else { return false };
                return super::flip_a_bit(&mut content.bytes, dice);
            }
            Spoilt::Copied => {
                let Some(content) = files.inodes.get(&inode).cloned() else { return false };
                let copy = files.create(&name);
                files.inodes.insert(copy, content);
            }
            Spoilt::Away => {
                drop(files);
                self.set_away(true);
            }
        }
        true
    }

    fn is_away(&self) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the simulated storage can't be reached");
        if *lock(&self.0.away) { Err(gone()) } else { Ok(()) }
    }

    /// Changes the files, if the disk takes changes now.
    fn change<T>(&self, change: impl FnOnce(&mut Files) -> io::Result<T>) -> io::Result<T> {
        self.is_away()?;
        let mut files = lock(&self.0.files);
        files.begin()?;
        match lock(&self.0.habits).failure(false) {
            Some(failure) => Err(failure),
            None => change(&mut files),
        }
    }
}

fn has_planted(plant: Plant) -> bool {
    scope::current().is_some_and(|scope| scope.history().plant() == plant)
}

/// Its name below the mount; nothing for the mount itself.
fn key(path: &Path) -> String {
    let below = path.strip_prefix(MOUNT).unwrap_or(path);
    below.to_string_lossy().into_owned()
}

fn as_folder(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("{key}/") }
}

impl Files {
    /// The inode of a file or a folder.
    fn found(&self, path: &Path) -> Option<Inode> {
        let key = key(path);
        self.names.get(&key).or_else(|| self.names.get(&as_folder(&key))).copied()
    }

    fn stat(&self, inode: Inode) -> io::Result<Stat> {
        let content = self.inodes.get(&inode).ok_or(io::ErrorKind::NotFound)?;
        Ok(Stat { device: 1, inode, bytes: content.bytes.len() as u64 })
    }
}

impl Storage for FloorDisk {
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.is_away()?;
        Ok(lock(&self.0.files).found(path).is_some())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.is_away()?;
        let folder = as_folder(&key(folder));
        let files = lock(&self.0.files);
        let below = files.names.keys().filter_map(|name| name.strip_prefix(&folder));
        let own = below.map(|name| name.strip_suffix('/').unwrap_or(name));
        Ok(own.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect())
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.change(|files| {
            if files.found(path).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            files.create(&as_folder(&key(path)));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if to.extension().is_some_and(|ending| ending == "left") && has_planted(Plant::FloorNotLeft) {
            return Ok(());
        }
        let (from, to) = (key(from), key(to));
        self.change(|files| {
            let (from_folder, to_folder) = (as_folder(&from), as_folder(&to));
            let renamed = |name: &String| {
                let below = name.strip_prefix(&from_folder).map(|below| format!("{to_folder}{below}"));
                below.or_else(|| (*name == from).then(|| to.clone()))
            };
            let moves = files.names.iter().filter_map(|(name, inode)| Some((name, renamed(name)?, *inode)));
            let moves: Vec<_> = moves.map(|(name, new, inode)| (name.clone(), (new, inode))).collect();
            if moves.is_empty() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let (goes, comes) = moves.into_iter().unzip();
            files.rename(Renaming { comes, goes });
            Ok(())
        })
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.change(|files| {
            files.sync_names();
            Ok(())
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        let folder = path.parent().unwrap_or(Path::new(MOUNT));
        self.change(|files| {
            if !key(folder).is_empty() && files.found(folder).is_none() {
                return Err(io::ErrorKind::NotFound.into());
            }
            let inode = files.create(&key(path));
            Ok(Box::new(FloorHandle { disk: self.clone(), inode }) as Box<dyn Written>)
        })
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read>, Stat)> {
        self.is_away()?;
        let files = lock(&self.0.files);
        let inode = files.found(path).ok_or(io::ErrorKind::NotFound)?;
        let bytes = files.inodes.get(&inode).ok_or(io::ErrorKind::NotFound)?.bytes.clone();
        Ok((Box::new(io::Cursor::new(bytes)), files.stat(inode)?))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.is_away()?;
        let files = lock(&self.0.files);
        files.stat(files.found(path).ok_or(io::ErrorKind::NotFound)?)
    }
}

/// An open file.
#[derive(Debug)]
struct FloorHandle {
    disk: FloorDisk,
    inode: Inode,
}

impl Written for FloorHandle {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        // What can't be synced any more may have been written.
        let fails = std::mem::take(&mut lock(&self.disk.0.habits).fails);
        let written = self.disk.change(|files| {
            let content = files.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
            content.synced = content.synced.min(at);
            let end = at + bytes.len();
            content.bytes.resize(content.bytes.len().max(end), 0);
            content.bytes.splice(at..end, bytes.iter().copied());
            Ok(())
        });
        lock(&self.disk.0.habits).fails |= fails;
        written
    }

    fn sync(&self) -> io::Result<()> {
        let planted = has_planted(Plant::UnsyncedFloor);
        self.disk.change(|files| {
            let content = files.inodes.get_mut(&self.inode).ok_or(io::ErrorKind::NotFound)?;
            // The picture that it begins with is synced all the same.
            if !planted || content.synced == 0 {
                content.synced = content.bytes.len();
            }
            Ok(())
        })
    }

    fn stat(&self) -> io::Result<Stat> {
        self.disk.is_away()?;
        lock(&self.disk.0.files).stat(self.inode)
    }
}
