//! The state as bytes: for snapshots, and for comparing replicas.
//!
//! ```text
//! "circlet state" 0x01            magic and version
//! frame*                          length (4 bytes, little endian), tag (1 byte), one record
//! 00 00 00 00                     the end
//! 32 bytes                        SHA-256 of everything before
//! ```
//! Records are written and read one by one: neither side holds the state twice. Their order is that of the maps, so equal
//! states have equal bytes. What can be derived is not written.

mod frames;
mod sections;

use std::io;

use self::frames::{Reader, Writer};
use crate::{
    codec::DecodeError,
    state::{InOrder, State},
};

impl State {
    /// Write the state.
    ///
    /// # Errors
    /// The writer's own.
    pub fn encode_snapshot(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let mut writer = Writer::begin(to)?;
        sections::write(self, &mut writer)?;
        writer.finish().map(drop)
    }

    /// Read a state that [`State::encode_snapshot`] wrote.
    ///
    /// # Errors
    /// The reader's own, an unknown version, or damage; nothing is returned before the checksum was found good.
    pub fn decode_snapshot(from: &mut dyn io::Read) -> Result<Self, DecodeError> {
        let mut reader = Reader::begin(from)?;
        let (mut state, mut listed) = (Self::new(), InOrder::default());
        while let Some((tag, record)) = reader.next()? {
            sections::restore(&mut state, &mut listed, tag, &record)?;
        }
        listed.finish(&mut state.revocations);
        reader.finish()?;
        state.keys_changed();
        Ok(state)
    }

    /// SHA-256 over the bytes of the state: equal on every replica at an equal log index.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut sink = io::sink();
        let written = Writer::begin(&mut sink).and_then(|mut writer| {
            sections::write(self, &mut writer)?;
            writer.finish()
        });
        written.expect("a sink takes every byte")
    }
}
