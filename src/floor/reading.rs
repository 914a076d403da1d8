//! A floor's file as it is found when its node may be gone.

use std::io;
use std::path::Path;

use circlet_authority::{FloorRecord, Picture};

use super::file::Header;
use super::frames::{Found, Frames};
use super::storage::Storage;

/// What is in one file.
#[derive(Debug)]
pub struct FloorRead {
    /// Whose it is.
    pub header: Header,
    /// What was refused when it ends.
    pub picture: Picture,
    /// Whether its last record was not written to the end; nothing was acknowledged by that one.
    pub torn: bool,
}

/// Why a file is no floor to build upon.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Io(#[from] io::Error),
    /// It begins otherwise.
    #[error("it is no floor, or of a version that this build doesn't know")]
    NotAFloor,
    /// What was written is not there any more.
    #[error("it is damaged behind record {0}")]
    Damaged(u64),
    /// The picture that it begins with is not whole.
    #[error("it ends before its picture does")]
    Unfinished,
    /// It was copied.
    #[error(
        "it is a copy: the node wrote file number {written}, and this is number {found}. A copy may be older than what was \
         acknowledged; bring the storage that the node wrote to"
    )]
    Copy {
        /// The number of the file that the node wrote.
        written: u64,
        /// The number of this one.
        found: u64,
    },
    /// Its content is not understood.
    #[error("record {number}: {why}")]
    Content {
        /// Which record.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// Reads a file to its end.
pub fn read(storage: &dyn Storage, path: &Path) -> Result<FloorRead, Unfit> {
    let (file, stat) = storage.open(path)?;
    let found = stat.inode;
    let mut frames = Frames::begin(file)?.ok_or(Unfit::NotAFloor)?;
    let Found::Payload(header) = frames.next()? else { return Err(Unfit::NotAFloor) };
    let header: Header = serde_json::from_slice(&header)
        .map_err(|error| Unfit::Content { number: 0, why: error.to_string() })?;
    if header.inode != found {
        return Err(Unfit::Copy { written: header.inode, found });
    }
    let mut picture = Picture::default();
    let mut whole = false;
    for number in 1.. {
        match frames.next()? {
            Found::Payload(bytes) => {
                let record = FloorRecord::decode(&bytes)
                    .map_err(|error| Unfit::Content { number, why: error.to_string() })?;
                whole |= !record.more;
                picture.learn(record);
            }
            Found::Damaged => return Err(Unfit::Damaged(number - 1)),
            _ if !whole => return Err(Unfit::Unfinished),
            Found::Torn => return Ok(FloorRead { header, picture, torn: true }),
            Found::End => return Ok(FloorRead { header, picture, torn: false }),
        }
    }
    Err(Unfit::Unfinished)
}
