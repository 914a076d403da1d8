//! Writing a backup, chunk by chunk.

use std::io::{self, Write};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use super::{CHUNK_BYTES, Header, MAGIC, VERSION, nonce};
use crate::seal::hex_decode;
use crate::secret::Secret;

/// Seals what is written to it. Complete only after [`Writer::finish`].
pub(crate) struct Writer<W> {
    inner: Hashing<W>,
    cipher: XChaCha20Poly1305,
    prefix: [u8; 16],
    /// Bound to every chunk.
    header: [u8; 32],
    buffer: Vec<u8>,
    number: u64,
}

impl<W: Write> Writer<W> {
    /// Begins a backup. The nonce in the header must be used for this one only.
    pub(crate) fn begin(inner: W, header: &Header, key: &Secret) -> io::Result<Self> {
        let text = serde_json::to_vec(header).map_err(io::Error::other)?;
        let prefix = hex_decode(&header.nonce).and_then(|nonce| nonce.try_into().ok());
        let prefix = prefix.ok_or_else(|| io::Error::other("a nonce has 16 bytes"))?;
        let mut inner = Hashing { inner, hash: Sha256::new() };
        inner.write_all(MAGIC)?;
        inner.write_all(&[VERSION])?;
        inner.write_all(&length(text.len())?)?;
        inner.write_all(&text)?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.expose()).map_err(io::Error::other)?;
        let header = inner.hash.clone().finalize().into();
        Ok(Self { inner, cipher, prefix, header, buffer: Vec::new(), number: 0 })
    }

    /// Writes what is left, and the checksum.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.write_chunk(true)?;
        let checksum = self.inner.hash.clone().finalize();
        self.inner.inner.write_all(&checksum)?;
        self.inner.inner.flush()?;
        Ok(self.inner.inner)
    }

    fn write_chunk(&mut self, last: bool) -> io::Result<()> {
        let nonce = XNonce::from(nonce(&self.prefix, self.number, last));
        let payload = Payload { msg: &self.buffer, aad: &self.header };
        let sealed = self.cipher.encrypt(&nonce, payload).map_err(io::Error::other)?;
        self.inner.write_all(&length(sealed.len())?)?;
        self.inner.write_all(&sealed)?;
        self.buffer.clear();
        self.number += 1;
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == CHUNK_BYTES {
            self.write_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    Ok(u32::try_from(bytes).map_err(io::Error::other)?.to_le_bytes())
}

/// Hashes what is written through it.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.inner.write_all(bytes)
    }
}
