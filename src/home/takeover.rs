//! Another node takes over a home: its files are made aside, and then take their places in steps that a crash can only
//! delay. Each step is the renaming of one file or folder beside its place, so that `etc` and `data` may be on file
//! systems of their own.
//!
//! ```text
//! etc/security/next/      the new security files, laid out as in a home; its identity.json is written last
//! data/next/              the new log and snapshots
//! data/before-<n>/        the log and the snapshots of before the generation n, and whom it gave up
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{HomeError, Identity, Paths, files};

/// What is in a data folder.
const DATA: [&str; 3] = ["raft", "snapshots", "raft.made"];
/// What is of before from the beginning.
pub(super) const OF_BEFORE: &str = "given-up";
/// How the folders of what is of before begin.
const BEFORE: &str = "before-";

/// The files of the node that shall live in a home.
pub(crate) struct Takeover<'a> {
    home: &'a Paths,
    staged: Paths,
}

impl<'a> Takeover<'a> {
    /// Makes room for the new files. What an attempt left that was broken off is removed.
    pub(crate) fn begin(home: &'a Paths) -> Result<Self, HomeError> {
        let takeover = Self { home, staged: staged(home) };
        takeover.abandon()?;
        for directory in [takeover.staged.security(), takeover.data()] {
            files::make_directory(&directory, 0o700)?;
        }
        Ok(takeover)
    }

    /// Where the new security files go.
    pub(crate) fn paths(&self) -> &Paths {
        &self.staged
    }

    /// Where the new log and snapshots go.
    pub(crate) fn data(&self) -> PathBuf {
        next_data(self.home)
    }

    /// All files are there and durable: the node with this identity takes over. Returns where the data of the one before
    /// is kept.
    pub(crate) fn complete(&self, identity: &Identity) -> Result<PathBuf, HomeError> {
        identity.write(&self.staged)?;
        finish(self.home)?;
        Ok(before(self.home, identity.generation))
    }

    /// Removes what was made.
    pub(crate) fn abandon(&self) -> Result<(), HomeError> {
        for directory in [self.home.security().join("next"), self.data()] {
            remove(&directory)?;
        }
        Ok(())
    }
}

/// Whether everything that is to take its place is there.
pub(super) fn is_complete(home: &Paths) -> bool {
    staged(home).identity().exists()
}

/// Lets what is complete take its place, or does nothing. Goes on where it was broken off.
pub(super) fn finish(home: &Paths) -> Result<(), HomeError> {
    let staged = staged(home);
    let Some(identity) = Identity::read_if_present(&staged)? else { return Ok(()) };
    let (next, aside) = (next_data(home), before(home, identity.generation));
    for name in DATA {
        let (from, to) = (next.join(name), home.data().join(name));
        if !from.exists() {
            continue;
        }
        if to.exists() {
            files::make_directory(&aside, 0o700)?;
            rename(&to, &aside.join(name))?;
        }
        rename(&from, &to)?;
    }
    if next.join(OF_BEFORE).exists() {
        files::make_directory(&aside, 0o700)?;
        rename(&next.join(OF_BEFORE), &aside.join(OF_BEFORE))?;
    }
    if aside.exists() {
        sync(&aside)?;
    }
    sync(&home.data())?;
    remove(&next)?;
    // The identity goes last: with it the files are the new node's.
    let places: [fn(&Paths) -> PathBuf; 5] =
        [Paths::master_key, Paths::ca_crt, Paths::node_crt, Paths::node_key, Paths::identity];
    for place in places {
        let (from, to) = (place(&staged), place(home));
        if from.exists() {
            rename(&from, &to)?;
        }
    }
    sync(&home.security())?;
    remove(&home.security().join("next"))
}

fn staged(home: &Paths) -> Paths {
    Paths::new(&home.security().join("next"))
}

fn next_data(home: &Paths) -> PathBuf {
    home.data().join("next")
}

fn before(home: &Paths, generation: u64) -> PathBuf {
    home.data().join(format!("{BEFORE}{generation}"))
}

/// Whether something in the folder of data is what was there before a generation.
pub(super) fn is_of_before(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(BEFORE))
}

fn rename(from: &Path, to: &Path) -> Result<(), HomeError> {
    fs::rename(from, to).map_err(|source| HomeError::Io {
        doing: "put in place",
        file: to.to_owned(),
        source,
    })
}

fn remove(directory: &Path) -> Result<(), HomeError> {
    match fs::remove_dir_all(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(HomeError::Io { doing: "remove", file: directory.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn sync(directory: &Path) -> Result<(), HomeError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(|source| HomeError::Io {
        doing: "write",
        file: directory.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::{Takeover, finish, staged};
    use crate::home::{Home, HomeError, Identity, Paths, write_secret};

    fn identity(generation: u64) -> Identity {
        Identity {
            node_id: generation,
            service_id: "jfrt@01".to_owned(),
            generation,
            log_begun: true,
            introduced: Vec::new(),
        }
    }

    /// A home in which `before` is everywhere, and beside it what shall take its place.
    fn prepared(root: &Path) -> Paths {
        let home = Home::found(root).unwrap_or_else(|error| panic!("{error}"));
        let paths = home.paths.clone();
        for file in [paths.master_key(), paths.node_key(), paths.node_crt(), paths.ca_crt()] {
            write_secret(&file, b"before").unwrap();
        }
        fs::create_dir(paths.raft()).unwrap();
        fs::write(paths.raft().join("db"), "before").unwrap();
        identity(1).write(&paths).unwrap();
        let takeover = Takeover::begin(&paths).unwrap();
        let staged = takeover.paths();
        for file in [staged.master_key(), staged.node_key(), staged.node_crt(), staged.ca_crt()] {
            write_secret(&file, b"after").unwrap();
        }
        fs::create_dir(takeover.data().join("raft")).unwrap();
        fs::create_dir(takeover.data().join("given-up")).unwrap();
        fs::write(takeover.data().join("raft/db"), "after").unwrap();
        paths
    }

    fn content(file: &Path) -> String {
        fs::read_to_string(file).unwrap()
    }

    /// Opens a home. A process that another test has just begun may hold the lock of the last one for a moment.
    fn open_again(root: &Path) -> (Home, Identity) {
        for _ in 0..500 {
            match Home::open(root) {
                Err(HomeError::InUse { .. }) => std::thread::sleep(Duration::from_millis(10)),
                opened => return opened.unwrap_or_else(|error| panic!("{error}")),
            }
        }
        panic!("{} is in use for seconds", root.display());
    }

    fn assert_taken_over(paths: &Paths) {
        for file in [paths.master_key(), paths.node_key(), paths.node_crt(), paths.ca_crt()] {
            assert_eq!(content(&file), "after", "{}", file.display());
        }
        assert_eq!(content(&paths.raft().join("db")), "after");
        assert_eq!(content(&paths.data().join("before-2/raft/db")), "before");
        assert!(paths.data().join("before-2/given-up").is_dir());
        assert!(!paths.security().join("next").exists() && !paths.data().join("next").exists());
    }

    #[test]
    fn nothing_changes_before_everything_is_there() {
        let root = tempfile::tempdir().unwrap();
        let paths = prepared(root.path());
        let (_, found) = open_again(root.path());
        assert_eq!(found.generation, 1);
        assert_eq!(content(&paths.raft().join("db")), "before");
        assert_eq!(content(&paths.master_key()), "before");
    }

    #[test]
    fn a_takeover_that_was_broken_off_goes_on_when_the_home_is_opened() {
        // After each number of files that had found their places.
        for done in 0..6 {
            let root = tempfile::tempdir().unwrap();
            let paths = prepared(root.path());
            let new = staged(&paths);
            identity(2).write(&new).unwrap();
            if done > 0 {
                fs::create_dir(paths.data().join("before-2")).unwrap();
                fs::rename(paths.raft(), paths.data().join("before-2/raft")).unwrap();
            }
            if done > 1 {
                fs::rename(paths.data().join("next/raft"), paths.raft()).unwrap();
            }
            if done > 2 {
                fs::rename(new.master_key(), paths.master_key()).unwrap();
            }
            if done > 3 {
                fs::rename(new.node_key(), paths.node_key()).unwrap();
            }
            if done > 4 {
                finish(&paths).unwrap();
            }
            let (_, found) = open_again(root.path());
            assert_eq!(found.generation, 2, "{done}");
            assert_taken_over(&paths);
        }
    }

    #[test]
    fn what_an_attempt_left_is_gone_at_the_next() {
        let root = tempfile::tempdir().unwrap();
        let paths = prepared(root.path());
        let again = Takeover::begin(&paths).unwrap();
        assert!(!again.data().join("raft").exists() && !again.paths().master_key().exists());
    }
}
