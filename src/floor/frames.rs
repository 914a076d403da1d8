//! The frames of a floor's file, each bound to those before it.
//!
//! ```text
//! "circlet floor" 0x01       magic and version
//! frame*                     length (4 bytes, little endian), check of the length (4 bytes), payload, chain (32 bytes)
//! ```
//! The chain behind a payload is SHA-256 over the chain before it and the payload; the check is the start of SHA-256 over the
//! chain before it and the length. So a frame that was not written to its end can be told from one that was damaged.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

pub(super) const MAGIC: &[u8; 14] = b"circlet floor\x01";
const HEAD_BYTES: usize = 8;
const CHAIN_BYTES: usize = 32;
/// A larger payload is damage.
pub(super) const PAYLOAD_BYTES_MAX: usize = 16 << 20;

pub(super) type Chain = [u8; CHAIN_BYTES];

/// The chain before the first frame.
pub(super) fn first() -> Chain {
    Sha256::digest(MAGIC).into()
}

fn next(chain: &Chain, payload: &[u8]) -> Chain {
    Sha256::new().chain_update(chain).chain_update(payload).finalize().into()
}

fn check(chain: &Chain, length: [u8; 4]) -> [u8; 4] {
    let digest: Chain = Sha256::new().chain_update(chain).chain_update(length).finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// Appends a frame to `out`.
pub(super) fn put(chain: &mut Chain, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&check(chain, length));
    out.extend_from_slice(payload);
    *chain = next(chain, payload);
    out.extend_from_slice(chain);
    Ok(())
}

/// What comes next in a file.
pub(super) enum Found {
    /// A whole frame.
    Payload(Vec<u8>),
    /// The end.
    End,
    /// A frame that was not written to its end: whoever wrote it never acknowledged anything by it.
    Torn,
    /// Anything else.
    Damaged,
}

/// Reads frames from a file.
pub(super) struct Frames<R> {
    from: R,
    chain: Chain,
}

impl<R: Read> Frames<R> {
    /// Behind the magic; `None` if it is another.
    pub(super) fn begin(mut from: R) -> io::Result<Option<Self>> {
        let mut magic = [0; MAGIC.len()];
        let length = fill(&mut from, &mut magic)?;
        Ok((magic[..length] == MAGIC[..]).then_some(Self { from, chain: first() }))
    }

    pub(super) fn next(&mut self) -> io::Result<Found> {
        let mut head = [0; HEAD_BYTES];
        let length = fill(&mut self.from, &mut head)?;
        if length == 0 {
            return Ok(Found::End);
        }
        if length < HEAD_BYTES {
            return Ok(Found::Torn);
        }
        let [a, b, c, d, ref checked @ ..] = head;
        let size = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if check(&self.chain, [a, b, c, d]) != *checked || size > PAYLOAD_BYTES_MAX {
            // Some file systems make a file longer before they write what is in it.
            return Ok(if self.rest_is_unwritten()? { Found::Torn } else { Found::Damaged });
        }
        let mut frame = vec![0; size.saturating_add(CHAIN_BYTES)];
        if fill(&mut self.from, &mut frame)? < frame.len() {
            return Ok(Found::Torn);
        }
        let (payload, chain) = frame.split_at(size);
        if next(&self.chain, payload) != *chain {
            let unwritten = chain.iter().all(|byte| *byte == 0) && self.rest_is_unwritten()?;
            return Ok(if unwritten { Found::Torn } else { Found::Damaged });
        }
        self.chain = next(&self.chain, payload);
        frame.truncate(size);
        Ok(Found::Payload(frame))
    }

    fn rest_is_unwritten(&mut self) -> io::Result<bool> {
        let mut part = [0; 4096];
        loop {
            match fill(&mut self.from, &mut part)? {
                0 => return Ok(true),
                length if part[..length].iter().any(|byte| *byte != 0) => return Ok(false),
                _ => {}
            }
        }
    }
}

/// Reads until `into` is full or nothing is left; how much that was.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match from.read(&mut into[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
