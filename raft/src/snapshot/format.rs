//! A snapshot's bytes. Frozen: a change of layout is a new version beside the old one.
//!
//! ```text
//! "circsnap" version(u8)
//! block*      length(u32) crc32(u32, over number, length and bytes) bytes      little endian
//! ```
//! Blocks are numbered from 0 without saying so; the first holds the meta data, an empty one ends the file.
//! So a missing, moved, doubled or damaged block is seen, and so is a cut.

use std::io::{self, Read, Write};

use crate::log_store::record::{self, Meta};

const MAGIC: &[u8; 8] = b"circsnap";
const VERSION: u8 = 1;
/// Bytes of a full block.
const BLOCK_BYTES: usize = 256 << 10;
/// The key that the meta data's record is bound to.
const META: &[u8] = b"snapshot";

/// Writes blocks; what it was given is complete only after [`Writer::finish`].
pub(super) struct Writer<W> {
    inner: W,
    buffer: Vec<u8>,
    number: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a snapshot with its meta data.
    pub(super) fn start(mut inner: W, meta: &Meta) -> io::Result<Self> {
        inner.write_all(MAGIC)?;
        inner.write_all(&[VERSION])?;
        let mut writer = Self { inner, buffer: record::encode(META, meta), number: 0 };
        writer.write_block()?;
        Ok(writer)
    }

    /// Writes what is buffered and the end; returns what was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.buffer.is_empty() {
            self.write_block()?;
        }
        self.write_block()?;
        Ok(self.inner)
    }

    fn write_block(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.buffer.len()).map_err(io::Error::other)?;
        self.inner.write_all(&length.to_le_bytes())?;
        self.inner.write_all(&checksum(self.number, &self.buffer).to_le_bytes())?;
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        self.number += 1;
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES.saturating_sub(self.buffer.len());
        let taken = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() >= BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a snapshot block by block and hands out only what passed its checksum.
pub(crate) struct Reader<R> {
    inner: R,
    meta: Meta,
    block: Vec<u8>,
    used: usize,
    number: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header and the meta data.
    pub(crate) fn start(mut inner: R) -> io::Result<Self> {
        let mut header = [0; MAGIC.len() + 1];
        inner.read_exact(&mut header)?;
        if header[..MAGIC.len()] != *MAGIC {
            return Err(wrong("it doesn't begin like a snapshot"));
        }
        if header[MAGIC.len()] != VERSION {
            return Err(wrong(format!("snapshot version {}; this program reads up to {VERSION}", header[8])));
        }
        let block = read_block(&mut inner, 0)?;
        let meta = record::decode(META, &block).map_err(wrong)?;
        Ok(Self { inner, meta, block: Vec::new(), used: 0, number: 1, ended: false })
    }

    /// What the snapshot holds.
    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Reads whatever is left, and makes sure that the end is where it should be.
    pub(crate) fn drain(mut self) -> io::Result<()> {
        while !self.ended {
            self.next_block()?;
        }
        let mut beyond = [0];
        if self.inner.read(&mut beyond)? != 0 {
            return Err(wrong("there is more after its end"));
        }
        Ok(())
    }

    /// Whether everything in it was handed out.
    pub(super) fn is_used_up(&mut self) -> io::Result<bool> {
        if self.used == self.block.len() && !self.ended {
            self.next_block()?;
        }
        Ok(self.ended)
    }

    fn next_block(&mut self) -> io::Result<()> {
        self.block = read_block(&mut self.inner, self.number)?;
        self.used = 0;
        self.number += 1;
        self.ended = self.block.is_empty();
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.used == self.block.len() && !self.ended {
            self.next_block()?;
        }
        let rest = &self.block[self.used..];
        let taken = rest.len().min(into.len());
        into[..taken].copy_from_slice(&rest[..taken]);
        self.used += taken;
        Ok(taken)
    }
}

fn read_block(inner: &mut impl Read, number: u64) -> io::Result<Vec<u8>> {
    let mut word = [0; 4];
    inner.read_exact(&mut word)?;
    let length = u32::from_le_bytes(word) as usize;
    // Only the meta data may be longer than a block: it grows with the number of members.
    if length > BLOCK_BYTES && number > 0 || length > 16 * BLOCK_BYTES {
        return Err(wrong(format!("block {number} claims {length} bytes")));
    }
    inner.read_exact(&mut word)?;
    let mut bytes = vec![0; length];
    inner.read_exact(&mut bytes)?;
    if checksum(number, &bytes) != u32::from_le_bytes(word) {
        return Err(wrong(format!("the checksum of block {number} is wrong")));
    }
    Ok(bytes)
}

fn checksum(number: u64, bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&number.to_le_bytes());
    sum.update(&(bytes.len() as u64).to_le_bytes());
    sum.update(bytes);
    sum.finalize()
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(content: &[u8]) -> Vec<u8> {
        let mut writer = Writer::start(Vec::new(), &Meta::default()).unwrap();
        writer.write_all(content).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut reader = Reader::start(bytes)?;
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        reader.drain()?;
        Ok(content)
    }

    /// A whole file, as every version has to read it: the meta data, a block of content, the end.
    const FROZEN: &str = "63697263736e617001\
        42000000baf78b1f01a59d41f90102fb2c010101000101010101016103683a310968747470733a2f2f68\
        0707070707070707070707070707070707070707070707070707070707070707\
        0a0000003c5bad34736f6d65207374617465\
        00000000366e1b6b";

    #[test]
    fn the_file_is_frozen() {
        let pairs = FROZEN.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let bytes: Vec<u8> = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let mut reader = Reader::start(bytes.as_slice()).unwrap();
        let meta = reader.meta().clone();
        assert_eq!(meta.last_log_id.map(|last| last.index()), Some(300));
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        reader.drain().unwrap();
        assert_eq!(content, b"some state");
        let mut writer = Writer::start(Vec::new(), &meta).unwrap();
        writer.write_all(&content).unwrap();
        assert_eq!(writer.finish().unwrap(), bytes);
    }

    #[test]
    fn contents_of_any_length_come_back() {
        for length in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            assert_eq!(read(&written(&content)).unwrap(), content, "{length}");
        }
    }

    #[test]
    fn any_flipped_byte_any_cut_and_any_addition_is_noticed() {
        let good = written(b"some state");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "byte {at}");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
        assert!(read(&[&good[..], &[0]].concat()).is_err());
    }

    #[test]
    fn blocks_that_changed_places_are_noticed() {
        let content = vec![7; 2 * BLOCK_BYTES];
        let good = written(&content);
        let size = BLOCK_BYTES + 8;
        let first = good.len() - 8 - 2 * size;
        let mut bad = good.clone();
        bad[first..first + size].copy_from_slice(&good[first + size..first + 2 * size]);
        assert!(read(&bad).is_err());
    }
}
