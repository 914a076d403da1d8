//! Frames with a checksum behind them.

use std::io;

use sha2::{Digest, Sha256};

use crate::{
    codec::{DecodeError, Wire},
    limits::SNAPSHOT_RECORD_BYTES_MAX,
};

const MAGIC: &[u8; 13] = b"circlet state";
const VERSION: u8 = 1;

/// Writes frames, hashing what it writes.
pub(super) struct Writer<'a> {
    to: &'a mut dyn io::Write,
    hash: Sha256,
    frame: Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(to: &'a mut dyn io::Write) -> io::Result<Self> {
        let mut writer = Self { to, hash: Sha256::new(), frame: Vec::new() };
        writer.write(MAGIC)?;
        writer.write(&[VERSION])?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.to.write_all(bytes)
    }

    pub(super) fn record<T: Wire>(&mut self, tag: u8, record: &T) -> io::Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        frame.extend_from_slice(&[0; 4]);
        frame.push(tag);
        record.put(&mut frame);
        let length = u32::try_from(frame.len().saturating_sub(4)).map_err(io::Error::other)?;
        if let Some(head) = frame.first_chunk_mut::<4>() {
            *head = length.to_le_bytes();
        }
        let written = self.write(&frame);
        self.frame = frame;
        written
    }

    /// The checksum, which is also written.
    pub(super) fn finish(mut self) -> io::Result<[u8; 32]> {
        self.write(&[0; 4])?;
        let digest: [u8; 32] = self.hash.finalize().into();
        self.to.write_all(&digest)?;
        Ok(digest)
    }
}

/// Reads frames, hashing what it reads.
pub(super) struct Reader<'a> {
    from: &'a mut dyn io::Read,
    hash: Sha256,
}

impl<'a> Reader<'a> {
    pub(super) fn begin(from: &'a mut dyn io::Read) -> Result<Self, DecodeError> {
        let mut reader = Self { from, hash: Sha256::new() };
        let mut head = [0; MAGIC.len() + 1];
        reader.fill(&mut head)?;
        match head.split_last() {
            Some((&VERSION, magic)) if magic == MAGIC => Ok(reader),
            Some((&found, magic)) if magic == MAGIC => Err(DecodeError::Version { found }),
            _ => Err(DecodeError::Malformed { what: "the head of a snapshot" }),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        read_exact(self.from, bytes)?;
        self.hash.update(&*bytes);
        Ok(())
    }

    /// The next frame's tag and record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, DecodeError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        let Some(size) = length.checked_sub(1) else { return Ok(None) };
        if size > SNAPSHOT_RECORD_BYTES_MAX {
            return Err(DecodeError::Malformed { what: "the length of a record" });
        }
        let mut tag = [0; 1];
        self.fill(&mut tag)?;
        let mut record = vec![0; size];
        self.fill(&mut record)?;
        let [tag] = tag;
        Ok(Some((tag, record)))
    }

    pub(super) fn finish(self) -> Result<(), DecodeError> {
        let mut found = [0; 32];
        read_exact(self.from, &mut found)?;
        let wanted: [u8; 32] = self.hash.finalize().into();
        if found == wanted { Ok(()) } else { Err(DecodeError::Checksum) }
    }
}

fn read_exact(from: &mut dyn io::Read, bytes: &mut [u8]) -> Result<(), DecodeError> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => DecodeError::Short { what: "a snapshot" },
        _ => DecodeError::Read { message: error.to_string() },
    })
}
