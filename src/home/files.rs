//! Reading and writing the files of a home: whole or not at all, and secrets for the owner only.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::HomeError;
use crate::secret::Secret;

/// No file of a home that is read whole is larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Makes a directory and its parents if missing, with `mode` for the last.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { doing: "make the directory", file: path.to_owned(), source };
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(io)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(io)
}

/// Replaces a file that anyone may read: written aside, synced, renamed, so that no reader sees half of it.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    write(path, bytes, 0o644)
}

/// Replaces a file that only the owner may read, in the same way.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    write(path, bytes, 0o600)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { doing: "write", file: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| io(io::Error::from(io::ErrorKind::InvalidFilename)))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let aside = directory.join(format!(".{}.{}", name.display(), std::process::id()));
    // What an earlier crash left may have another mode.
    let _ = fs::remove_file(&aside);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside).and_then(|mut file| {
            file.set_permissions(Permissions::from_mode(mode))?;
            file.write_all(bytes)?;
            file.sync_all()
        });
    written.and_then(|()| fs::rename(&aside, path)).map_err(|source| {
        // The error is what counts.
        let _ = fs::remove_file(&aside);
        io(source)
    })?;
    sync_directory(path).map_err(io)
}

/// Lets a file that is whole and synced take the place of another.
pub fn replace(from: &Path, to: &Path) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { doing: "put in place", file: to.to_owned(), source };
    fs::rename(from, to).map_err(io)?;
    sync_directory(to).map_err(io)
}

/// Removes a file.
pub fn remove(path: &Path) -> Result<(), HomeError> {
    let io = |source| HomeError::Io { doing: "remove", file: path.to_owned(), source };
    fs::remove_file(path).map_err(io)?;
    sync_directory(path).map_err(io)
}

fn sync_directory(of: &Path) -> io::Result<()> {
    File::open(of.parent().unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all())
}

/// Reads a file that must be there; `what` says what it is, for the error.
pub fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, HomeError> {
    let mut bytes = Vec::new();
    read_into(path, what, &mut bytes).map(|()| bytes)
}

/// Reads a secret that must be there.
pub fn read_secret(path: &Path, what: &'static str) -> Result<Secret, HomeError> {
    let mut bytes = Zeroizing::new(Vec::new());
    read_into(path, what, &mut bytes)?;
    Ok(Secret::new(std::mem::take(&mut *bytes)))
}

fn read_into(path: &Path, what: &'static str, bytes: &mut Vec<u8>) -> Result<(), HomeError> {
    let error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => HomeError::Missing { file: path.to_owned(), what },
        _ => HomeError::Io { doing: "read", file: path.to_owned(), source },
    };
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(bytes)).map(drop).map_err(error)
}
