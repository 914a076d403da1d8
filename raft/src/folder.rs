//! The folder of snapshots as the store needs it: files by name, and what makes them durable. A simulator stands in.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// Files in one folder. Nothing is durable before it is synced: a file's bytes by [`sync`](Folder::sync), its name by
/// [`sync_names`](Folder::sync_names).
pub trait Folder: Send + Sync + 'static {
    /// The names of the files there.
    fn names(&self) -> io::Result<Vec<String>>;

    /// A new empty file to write, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn Write + Send>>;

    /// A file to read from its beginning.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;

    /// A file's size in bytes.
    fn bytes(&self, name: &str) -> io::Result<u64>;

    /// Returns once the bytes of a file are on stable storage.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Returns once every name, new or gone, is on stable storage.
    fn sync_names(&self) -> io::Result<()>;

    /// The folder, for messages.
    fn place(&self) -> String;
}

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct RealFolder(PathBuf);

impl RealFolder {
    /// Uses the folder at `path`, and creates it if it isn't there.
    ///
    /// # Errors
    /// The file system's own.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Folder for RealFolder {
    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Write + Send>> {
        let file = File::options().write(true).create(true).truncate(true).open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.0.join(name))?))
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.0.join(name))?.len())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        File::open(self.0.join(name))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}
