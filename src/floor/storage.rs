//! The file system as floors need it, so that the simulator can stand in for it.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What tells a file from another that took its place, and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The file system that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its length.
    pub bytes: u64,
}

/// Folders of files. Nothing is durable before it is synced: bytes by [`Written::sync`], names by
/// [`sync_folder`](Storage::sync_folder).
pub trait Storage: Debug + Send + Sync + 'static {
    /// Whether something has that name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The names in a folder, in no order.
    fn names(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Makes a folder in one that is there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or a folder another name, in the place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Returns once every name in a folder, new or gone, is on stable storage.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// A new empty file in the place of one of that name.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>>;

    /// A file to read from its beginning, and what it is.
    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read>, Stat)>;

    /// What the file of this name is.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
}

/// A file that is written, whatever it is called.
pub trait Written: Debug + Send {
    /// Writes all these bytes from there on.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()>;

    /// Returns once its bytes are on stable storage.
    fn sync(&self) -> io::Result<()>;

    /// What it is.
    fn stat(&self) -> io::Result<Stat>;
}

/// A directory that an operator has named, on some storage.
#[derive(Debug, Clone)]
pub struct Root {
    /// The directory.
    pub dir: PathBuf,
    /// What it is on.
    pub storage: Arc<dyn Storage>,
}

impl Root {
    /// A directory of this machine's file system.
    #[must_use]
    pub fn real(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), storage: Arc::new(RealStorage) }
    }

    /// Several of them.
    #[must_use]
    pub fn all_real(dirs: &[PathBuf]) -> Vec<Self> {
        dirs.iter().map(|dir| Self::real(dir)).collect()
    }
}

/// The file system of this machine.
#[derive(Debug, Clone, Copy)]
pub struct RealStorage;

impl Storage for RealStorage {
    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Written>> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<(Box<dyn Read>, Stat)> {
        let file = File::open(path)?;
        let stat = Written::stat(&file)?;
        Ok((Box::new(BufReader::new(file)), stat))
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        fs::metadata(path).map(|found| stat_of(&found))
    }
}

impl Written for File {
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn stat(&self) -> io::Result<Stat> {
        self.metadata().map(|found| stat_of(&found))
    }
}

fn stat_of(found: &fs::Metadata) -> Stat {
    Stat { device: found.dev(), inode: found.ino(), bytes: found.len() }
}
