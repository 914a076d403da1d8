//! Backups: what outlives a cluster, in one file that only the holder of a passphrase or of the master key can read.
//!
//! ```text
//! "circlet backup" version(u8)
//! length(u32) header                what it is of, and how it is sealed: JSON, in the clear
//! (length(u32) chunk)*              XChaCha20-Poly1305, little-endian lengths; the last one says so in its nonce
//! sha256                            of everything before
//! ```
//! A chunk's nonce is the header's, the chunk's number, and whether it is the last; the header's hash is bound to every
//! chunk. So a chunk that is missing, moved or of another backup doesn't open. The checksum needs no key: a damaged file
//! is told from a wrong passphrase. No signing key, CA key or other secret of the cluster is in a backup, sealed or not.

mod reader;
mod sealing;
mod writer;

use serde::{Deserialize, Serialize};

pub(crate) use reader::read_any;
pub use reader::{Opened, check, open};
pub use sealing::{Opening, Seal};
pub(crate) use writer::Writer;

const MAGIC: &[u8; 14] = b"circlet backup";
const VERSION: u8 = 1;
/// Bytes sealed at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// What sealing adds to each chunk.
const TAG_BYTES: usize = 16;
/// No header is longer.
const HEADER_BYTES_MAX: usize = 256 * 1024;
/// SHA-256.
const CHECKSUM_BYTES: usize = 32;

/// What a backup is of. Anybody may read this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The cluster.
    pub service_id: String,
    /// Its generation.
    pub generation: u64,
    /// The last log entry that is in it.
    pub index: u64,
    /// When it was made, as `2023-10-20T12:53:37.758Z`.
    pub made_at: String,
    /// The nodes that the cluster had.
    pub nodes: Vec<Node>,
    /// How it is sealed.
    pub seal: Seal,
    /// The first 16 bytes of each nonce, hexadecimal.
    pub nonce: String,
}

/// A node that the cluster had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where its clients reached it.
    pub url: String,
}

/// Why a backup can't be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The system refused.
    #[error("can't read the backup: {0}")]
    Io(#[from] std::io::Error),
    /// It is none.
    #[error("it is not a backup of circlet")]
    NotOne,
    /// Of a version that this program doesn't know.
    #[error("it is a backup of version {found}, and this program reads version {VERSION}")]
    Version {
        /// The version found.
        found: u8,
    },
    /// It ends too early, or some bytes have changed.
    #[error("it is damaged or cut off: {0}")]
    Damaged(&'static str),
    /// It is whole, but sealed otherwise.
    #[error("{0}")]
    Sealed(&'static str),
    /// It opens, but what is inside is nothing that this program can read.
    #[error("its content can't be read: {0}")]
    Content(String),
}

/// The nonce of a chunk.
fn nonce(prefix: &[u8; 16], number: u64, last: bool) -> [u8; 24] {
    let mut nonce = [0; 24];
    let (head, tail) = nonce.split_at_mut(16);
    head.copy_from_slice(prefix);
    // No backup has half as many chunks as there are numbers.
    tail.copy_from_slice(&((number << 1) | u64::from(last)).to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests;
