//! Reads `root.crt` and `private.key` as they are.

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use circlet_token::{CertificateFacts, SigningKey, read_certificate};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::SEALED_LABEL;
use crate::home::Paths;
use crate::secret::Secret;

/// Neither file is ever larger.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// One reading of the pair.
pub(super) struct Scan {
    pub(super) certificate: Certificate,
    pub(super) key: PrivateKey,
    /// Of both contents, to see whether anything moves.
    pub(super) digest: [u8; 32],
}

/// `root.crt`.
pub(super) enum Certificate {
    Absent,
    /// Half-written, or no certificate; and why.
    Unreadable(String),
    Read(Box<CertificateFacts>),
}

/// `private.key`.
pub(super) enum PrivateKey {
    Absent,
    /// What a node has left of a key that was adopted; the whole text.
    Sealed(String),
    /// Half-written, or no key; and why.
    Unreadable(String),
    Plain(Box<Plain>),
}

/// A private key as an operator has placed it.
pub(super) struct Plain {
    pub(super) key: SigningKey,
    /// Whether the node may replace the file: it lies here itself, and is no link to where somebody else keeps it.
    pub(super) is_file: bool,
    /// Whether others than its owner may read it.
    pub(super) is_open: bool,
}

/// Reads both.
pub(super) fn scan(paths: &Paths) -> io::Result<Scan> {
    let (certificate, key) = (paths.root_crt(), paths.private_key());
    let certificate_bytes = read(&certificate)?;
    let key_bytes = read(&key)?;
    let mut digest = Sha256::new();
    for bytes in [&certificate_bytes, &key_bytes] {
        digest.update([u8::from(bytes.is_some())]);
        digest.update(Sha256::digest(bytes.as_ref().map_or(&[][..], |bytes| bytes.as_slice())));
    }
    Ok(Scan {
        certificate: match certificate_bytes {
            None => Certificate::Absent,
            Some(bytes) => match read_certificate(&bytes) {
                Ok(facts) => Certificate::Read(Box::new(facts)),
                Err(error) => Certificate::Unreadable(error.to_string()),
            },
        },
        key: match key_bytes {
            None => PrivateKey::Absent,
            Some(bytes) => private_key(&key, &Secret::new(bytes.to_vec())),
        },
        digest: digest.finalize().into(),
    })
}

fn private_key(path: &Path, content: &Secret) -> PrivateKey {
    let Some(text) = content.expose_text() else {
        return PrivateKey::Unreadable("it is not PEM".to_owned());
    };
    if text.contains(SEALED_LABEL) {
        return PrivateKey::Sealed(text.to_owned());
    }
    match SigningKey::from_pem(text) {
        Ok(key) => {
            let metadata = path.symlink_metadata();
            let is_file = metadata.as_ref().is_ok_and(std::fs::Metadata::is_file);
            let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
            PrivateKey::Plain(Box::new(Plain { key, is_file, is_open: mode & 0o077 != 0 }))
        }
        Err(error) => PrivateKey::Unreadable(error.to_string()),
    }
}

/// The content of a file; `None` if there is none, or a link to nothing.
fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut content = Zeroizing::new(Vec::new());
    match std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content)) {
        Ok(_) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
