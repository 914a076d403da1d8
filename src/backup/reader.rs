//! Reading a backup: first whether it is whole, then what is in it.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use circlet_authority::State;
use sha2::{Digest, Sha256};

use super::{
    BackupError, CHECKSUM_BYTES, CHUNK_BYTES, HEADER_BYTES_MAX, Header, MAGIC, Opening, TAG_BYTES, VERSION,
    nonce,
};
use crate::feature_level;
use crate::seal::{MasterKey, hex_decode};
use crate::secret::Secret;

const CUT: &str = "it ends too early";
const CHANGED: &str = "its checksum is wrong";

/// A backup that was read to its end.
pub struct Opened {
    /// What it says of itself.
    pub header: Header,
    /// What outlives the cluster.
    pub state: State,
}

/// Whether a backup is whole, and what it says of itself. Needs no key, and reads all of it.
pub fn check(from: &mut (impl Read + Seek)) -> Result<Header, BackupError> {
    from.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let header = read_header(from, &mut hash)?;
    let rest = from.stream_position()?;
    let end = from.seek(SeekFrom::End(0))?;
    let mut left = end.checked_sub(rest + CHECKSUM_BYTES as u64).ok_or(BackupError::Damaged(CUT))?;
    from.seek(SeekFrom::Start(rest))?;
    let mut buffer = vec![0; CHUNK_BYTES];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = &mut buffer[..most];
        from.read_exact(part)?;
        hash.update(&*part);
        left -= most as u64;
    }
    let mut checksum = [0; CHECKSUM_BYTES];
    from.read_exact(&mut checksum)?;
    if checksum == <[u8; CHECKSUM_BYTES]>::from(hash.finalize()) {
        Ok(header)
    } else {
        Err(BackupError::Damaged(CHANGED))
    }
}

/// Reads a backup. Blocks; takes a moment for a passphrase.
pub fn open(from: &mut (impl Read + Seek), with: &Opening) -> Result<Opened, BackupError> {
    let header = check(from)?;
    let key = with.key(&header.seal)?;
    from.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    read_header(from, &mut hash)?;
    let cipher = XChaCha20Poly1305::new_from_slice(key.expose())
        .map_err(|_| BackupError::Damaged("its key has another length"))?;
    let prefix = hex_decode(&header.nonce).and_then(|nonce| nonce.try_into().ok());
    let prefix = prefix.ok_or(BackupError::Damaged("its nonce is none"))?;
    let bound = hash.finalize().into();
    let mut chunks =
        Chunks { inner: from, cipher, prefix, bound, chunk: Vec::new(), used: 0, number: 0, ended: false };
    // The first chunk tells whether the passphrase is the right one: everything else was found whole.
    chunks.next_chunk().map_err(|_| {
        BackupError::Sealed(match with {
            Opening::Passphrase(_) => "the passphrase is not the one under which it is sealed",
            Opening::MasterKey(_) => "it does not open under this master key",
        })
    })?;
    let state = State::decode_snapshot(&mut chunks);
    let state = state.map_err(|error| BackupError::Content(error.to_string()))?;
    if chunks.used < chunks.chunk.len() || !chunks.ended {
        return Err(BackupError::Content("there is more than a state in it".to_owned()));
    }
    feature_level::check(&state).map_err(|error| BackupError::Content(error.to_string()))?;
    Ok(Opened { header, state })
}

/// Reads what may be a backup, whatever comes of it: its header, and then as one under a key that everybody knows.
pub(crate) fn read_any(bytes: &[u8]) {
    let with = Opening::MasterKey(MasterKey::from_material(Secret::new(vec![0; 32])));
    let _ = read_header(&mut Cursor::new(bytes), &mut Sha256::new());
    let _ = open(&mut Cursor::new(bytes), &with);
}

fn read_header(from: &mut impl Read, hash: &mut Sha256) -> Result<Header, BackupError> {
    let mut head = [0; MAGIC.len() + 1];
    fill(from, &mut head).map_err(|_| BackupError::NotOne)?;
    hash.update(head);
    match head.split_last() {
        Some((&VERSION, magic)) if magic == MAGIC => {}
        Some((&found, magic)) if magic == MAGIC => return Err(BackupError::Version { found }),
        _ => return Err(BackupError::NotOne),
    }
    let mut length = [0; 4];
    fill(from, &mut length)?;
    hash.update(length);
    let length = u32::from_le_bytes(length) as usize;
    if length > HEADER_BYTES_MAX {
        return Err(BackupError::Damaged("its header is too long"));
    }
    let mut text = vec![0; length];
    fill(from, &mut text)?;
    hash.update(&text);
    serde_json::from_slice(&text).map_err(|_| BackupError::Damaged("its header can't be read"))
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), BackupError> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Damaged(CUT),
        _ => BackupError::Io(error),
    })
}

/// Unseals chunk by chunk, and hands out nothing that did not open.
struct Chunks<'a, R> {
    inner: &'a mut R,
    cipher: XChaCha20Poly1305,
    prefix: [u8; 16],
    bound: [u8; 32],
    chunk: Vec<u8>,
    used: usize,
    number: u64,
    ended: bool,
}

impl<R: Read> Chunks<'_, R> {
    fn next_chunk(&mut self) -> io::Result<()> {
        let mut length = [0; 4];
        self.inner.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > CHUNK_BYTES + TAG_BYTES {
            return Err(wrong("a chunk is too long"));
        }
        let mut sealed = vec![0; length];
        self.inner.read_exact(&mut sealed)?;
        // Which chunk is the last is not said anywhere else: only that one opens so.
        let opened = [false, true].into_iter().find_map(|last| {
            let nonce = XNonce::from(nonce(&self.prefix, self.number, last));
            let payload = Payload { msg: &sealed, aad: &self.bound };
            self.cipher.decrypt(&nonce, payload).ok().map(|chunk| (chunk, last))
        });
        let (chunk, last) = opened.ok_or_else(|| wrong("a chunk does not open"))?;
        (self.chunk, self.used, self.ended) = (chunk, 0, last);
        self.number += 1;
        Ok(())
    }
}

impl<R: Read> Read for Chunks<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.used == self.chunk.len() && !self.ended {
            self.next_chunk()?;
        }
        let rest = &self.chunk[self.used..];
        let taken = rest.len().min(into.len());
        into[..taken].copy_from_slice(&rest[..taken]);
        self.used += taken;
        Ok(taken)
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
