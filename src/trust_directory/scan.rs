//! Reads the directory as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use circlet_token::{CertificateFacts, read_certificate};
use sha2::{Digest, Sha256};

/// Files with this ending are certificates.
const ENDING: &str = ".crt";
/// A certificate is never larger.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// More files are not looked at.
const FILES_MAX: usize = 10_000;

/// One reading of the directory.
pub(super) struct Scan {
    /// Which directory it was: another one mounted in its place has another identity.
    pub(super) directory: (u64, u64),
    /// Whether files in it can be changed; what is mounted read-only tells nothing about intentions.
    pub(super) is_writable: bool,
    /// The certificates by the name of their file.
    pub(super) certificates: BTreeMap<String, CertificateFacts>,
    /// Files that are no certificates: half-written, or a mistake.
    pub(super) unreadable: BTreeSet<String>,
    /// Names and contents, to see whether anything moves.
    pub(super) digest: [u8; 32],
}

/// Reads the directory. Files whose names begin with a dot belong to whoever mounts or writes.
pub(super) fn scan(directory: &Path) -> io::Result<Scan> {
    let metadata = fs::metadata(directory)?;
    let mut scan = Scan {
        directory: (metadata.dev(), metadata.ino()),
        is_writable: rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_ok(),
        certificates: BTreeMap::new(),
        unreadable: BTreeSet::new(),
        digest: [0; 32],
    };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)?.take(FILES_MAX) {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(ENDING)
            && !name.starts_with('.')
        {
            names.insert(name);
        }
    }
    let mut digest = Sha256::new();
    for name in names {
        let mut content = Vec::new();
        let read = fs::File::open(directory.join(&name))
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content));
        if matches!(&read, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // Gone between listing and reading, or a link to nothing: not there.
            continue;
        }
        digest.update((name.len() as u64).to_be_bytes());
        digest.update(name.as_bytes());
        digest.update(Sha256::digest(&content));
        match read.ok().and_then(|_| read_certificate(&content).ok()) {
            Some(facts) => drop(scan.certificates.insert(name, facts)),
            None => drop(scan.unreadable.insert(name)),
        }
    }
    scan.digest = digest.finalize().into();
    Ok(scan)
}
