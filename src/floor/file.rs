//! The file that is one node's floor, as the node writes it: a whole picture, then what changed.

use std::io;
use std::path::PathBuf;

use circlet_authority::{FloorFact, FloorRecord, State};
use serde::{Deserialize, Serialize};

use super::frames::{self, Chain, MAGIC};
use super::place::{Phase, Place};
use super::storage::Written;

/// Facts of a picture that are written as one record.
const FACTS_PER_RECORD: usize = 1_000;
/// More changes than these at once are a picture of their own.
pub const CHANGES_MAX: usize = 20_000;
/// What follows a picture may be as large as it, and at least this.
const GROWTH_BYTES_MIN: u64 = 4 << 20;

/// Whose floor a file is, and which file that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The cluster.
    pub service_id: String,
    /// Its generation.
    pub generation: u64,
    /// The node.
    pub node: u64,
    /// The number that the file system gave to the file: a copy has another.
    pub inode: u64,
}

/// Why a floor could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The system, or somebody's hand. It may pass.
    #[error("{}: {source}", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Whoever restores the cluster has fenced this node off.
    #[error("{} is there: the cluster is being restored, and this node must not acknowledge anything any more", .0.display())]
    Sealed(PathBuf),
    /// Somebody else writes as this node.
    #[error("{} is not the file any more that this node writes: somebody has put another one there", .0.display())]
    Usurped(PathBuf),
}

impl Trouble {
    /// Whether it never passes.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// One node's floor, open for what comes next.
#[derive(Debug)]
pub struct FloorFile {
    place: Place,
    path: PathBuf,
    file: Box<dyn Written>,
    chain: Chain,
    base_bytes: u64,
    bytes: u64,
}

impl FloorFile {
    /// Begins a node's floor with the whole picture of a state, in the place of the one that may be there.
    pub fn begin(place: &Place, node: u64, state: &State) -> Result<Self, Trouble> {
        let path = place.file(node, Phase::Open);
        let trouble = |source| Trouble::Io { file: path.clone(), source };
        refuse_closed(place)?;
        place.make().map_err(trouble)?;
        let aside = path.with_extension("floor.new");
        let storage = place.storage();
        let file = storage.create(&aside).map_err(trouble)?;
        let header = Header {
            service_id: state.service_id().map(ToString::to_string).unwrap_or_default(),
            generation: state.generation(),
            node,
            inode: file.stat().map_err(trouble)?.inode,
        };
        let (chain, bytes) = write_picture(&*file, &header, state).map_err(trouble)?;
        file.sync().map_err(trouble)?;
        storage.rename(&aside, &path).map_err(trouble)?;
        storage.sync_folder(&place.folder(Phase::Open)).map_err(trouble)?;
        let begun = Self { place: place.clone(), path, file, chain, base_bytes: bytes, bytes };
        begun.check()?;
        Ok(begun)
    }

    /// Writes what changed, durably. An error leaves the file unfit for more.
    pub fn append(&mut self, record: &FloorRecord) -> Result<(), Trouble> {
        let mut frame = Vec::new();
        let written = frames::put(&mut self.chain, &record.encode(), &mut frame)
            .and_then(|()| self.file.write_at(&frame, self.bytes))
            .and_then(|()| self.file.sync());
        written.map_err(|source| Trouble::Io { file: self.path.clone(), source })?;
        self.bytes += frame.len() as u64;
        self.check()
    }

    /// Whether what was written is what others will find: nobody has sealed it, and the file is in its place.
    pub fn check(&self) -> Result<(), Trouble> {
        let trouble = |source| Trouble::Io { file: self.path.clone(), source };
        let found = self.place.storage().stat(&self.path);
        refuse_closed(&self.place)?;
        let (found, own) = (found.map_err(trouble)?, self.file.stat().map_err(trouble)?);
        if (found.device, found.inode) != (own.device, own.inode) {
            return Err(Trouble::Usurped(self.path.clone()));
        }
        if found.bytes != self.bytes {
            let why = format!("it has {} bytes, and this node wrote {}", found.bytes, self.bytes);
            return Err(trouble(io::Error::other(why)));
        }
        Ok(())
    }

    /// Whether it has become so long that a new picture is better.
    #[must_use]
    pub fn is_outgrown(&self) -> bool {
        self.bytes - self.base_bytes > self.base_bytes.max(GROWTH_BYTES_MIN)
    }
}

fn refuse_closed(place: &Place) -> Result<(), Trouble> {
    let sealed = place.folder(Phase::Sealed);
    match place.is_closed() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Trouble::Sealed(sealed)),
        Err(source) => Err(Trouble::Io { file: sealed, source }),
    }
}

fn write_picture(file: &dyn Written, header: &Header, state: &State) -> io::Result<(Chain, u64)> {
    let (mut chain, mut bytes) = (frames::first(), 0);
    let mut frame = MAGIC.to_vec();
    frames::put(&mut chain, &serde_json::to_vec(header)?, &mut frame)?;
    let nothing = State::new();
    let mut facts = state.floor_changes(&nothing).peekable();
    let (index, tokens_until) = (state.index(), state.floor_tokens_until());
    loop {
        let part: Vec<FloorFact> = facts.by_ref().take(FACTS_PER_RECORD).collect();
        let more = facts.peek().is_some();
        let record = FloorRecord { index, more, tokens_until, facts: part };
        frames::put(&mut chain, &record.encode(), &mut frame)?;
        file.write_at(&frame, bytes)?;
        bytes += frame.len() as u64;
        if !more {
            return Ok((chain, bytes));
        }
        frame.clear();
    }
}
