//! The file that lines go to: appended to, and put aside when it has its size.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// When the file is put aside, and how many such files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file that would exceed this is put aside first, in bytes.
    pub bytes_max: u64,
    /// So many files are kept besides the one that is written; an older one is removed.
    pub kept: usize,
}

/// A file that grows by whole lines. Older lines are in `<name>.1`, still older ones in `<name>.2`, and so on.
#[derive(Debug)]
pub(super) struct RotatedFile {
    path: PathBuf,
    rotation: Rotation,
    /// Absent after something failed: it is opened again before the next line, as something else may be there then.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl RotatedFile {
    /// Opens the file for appending.
    pub(super) fn open(path: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let open = Some(Open::at(&path)?);
        Ok(Self { path, rotation, open })
    }

    /// Appends a line with one system call, so that lines of several writers never mix. On an error the file holds
    /// nothing of the line.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let full =
            |open: &Open| open.bytes > 0 && open.bytes.saturating_add(length) > self.rotation.bytes_max;
        let mut open = match self.open.take() {
            Some(open) if full(&open) => self.put_aside(open)?,
            Some(open) => open,
            None => Open::at(&self.path)?,
        };
        if let Err(error) = open.file.write_all(line) {
            // Half a line would spoil the next. What is no regular file can't be cut, and holds nothing either.
            let _ = open.file.set_len(open.bytes);
            return Err(error);
        }
        open.bytes = open.bytes.saturating_add(length);
        self.open = Some(open);
        Ok(())
    }

    /// Moves every file one place on. If that fails, the present one goes on growing: better too large than lost.
    fn put_aside(&self, open: Open) -> io::Result<Open> {
        let moved = (1..=self.rotation.kept).rev().try_for_each(|place| {
            let from = if place == 1 { self.path.clone() } else { self.place(place - 1) };
            match std::fs::rename(from, self.place(place)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        });
        if let Err(error) = moved {
            tracing::warn!(%error, file = %self.path.display(), "the audit log could not be put aside; it goes on growing");
            return Ok(open);
        }
        if self.rotation.kept == 0 {
            std::fs::remove_file(&self.path)?;
        }
        Open::at(&self.path)
    }

    fn place(&self, place: usize) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{place}"));
        PathBuf::from(name)
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    #[test]
    fn files_are_put_aside_at_their_size_and_the_oldest_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let rotation = Rotation { bytes_max: 20, kept: 2 };
        let mut file = RotatedFile::open(path.clone(), rotation).unwrap();
        for number in 0..9 {
            file.append(format!("line {number}..\n").as_bytes()).unwrap();
            if number == 4 {
                // What was there before a restart counts.
                file = RotatedFile::open(path.clone(), rotation).unwrap();
            }
        }
        assert_eq!(lines(&path), ["line 8.."]);
        assert_eq!(lines(&file.place(1)), ["line 6..", "line 7.."]);
        assert_eq!(lines(&file.place(2)), ["line 4..", "line 5.."]);
        assert!(!file.place(3).exists());
    }

    #[test]
    fn a_line_that_is_longer_than_a_file_has_one_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = RotatedFile::open(path.clone(), Rotation { bytes_max: 4, kept: 1 }).unwrap();
        file.append(b"longer than that\n").unwrap();
        file.append(b"another\n").unwrap();
        assert_eq!((lines(&path).len(), lines(&file.place(1)).len()), (1, 1));
    }

    #[test]
    fn without_files_to_keep_the_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let mut file = RotatedFile::open(path.clone(), Rotation { bytes_max: 10, kept: 0 }).unwrap();
        for number in 0..5 {
            file.append(format!("line {number}\n").as_bytes()).unwrap();
        }
        assert_eq!(lines(&path), ["line 4"]);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
