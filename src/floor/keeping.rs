//! Keeps a node's floor up with its view. No clock and no task, so that the simulator's nodes do the same.
//!
//! A note in the home remembers where the floor is. A floor that was there and is not any more may lie on storage that is not
//! mounted, with less in it than was acknowledged since if another were begun in its stead; so none is begun then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use circlet_authority::{FloorFact, FloorRecord, State};
use circlet_raft::Published;
use serde::{Deserialize, Serialize};

use super::file::{CHANGES_MAX, FloorFile, Trouble};
use super::place::{Phase, Place};
use super::storage::{Root, Storage};
use super::{Floor, Standing};

/// How soon a node notices that its floor was sealed, if it has nothing to write, in milliseconds.
pub const LOOK_AGAIN_MS: u64 = 1_000;
/// How soon a floor that can't be written is tried again, in milliseconds.
pub const RETRY_MS: u64 = 500;

/// The note of where a node keeps its floor, in its home.
pub trait Memory: Send + Sync + 'static {
    /// Where it is, for messages.
    fn path(&self) -> PathBuf;

    /// What it says, if it is there.
    fn read(&self) -> io::Result<Option<Vec<u8>>>;

    /// Replaces it, durably.
    fn write(&self, text: &[u8]) -> io::Result<()>;

    /// Removes it.
    fn forget(&self) -> io::Result<()>;
}

/// Who keeps a node's floor.
#[derive(Debug)]
pub struct Keeper<M> {
    /// The node.
    pub node: u64,
    /// Where its floor shall be; `None` if it shall have none.
    pub dir: Option<PathBuf>,
    /// What floors are on.
    pub storage: Arc<dyn Storage>,
    /// Where it has been.
    pub memory: M,
}

/// Where a node last kept its floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    dir: PathBuf,
    generation: u64,
    node: u64,
}

/// A floor that is written, and the view that it holds.
#[derive(Debug)]
pub struct Kept {
    file: FloorFile,
    seen: Arc<State>,
    tokens_until: u64,
    looked_ms: u64,
}

/// What came of a step.
#[derive(Debug)]
pub enum Step {
    /// The floor holds the view; `written` says whether a record was written for that.
    Held {
        /// What the next step goes on with.
        kept: Box<Kept>,
        /// Whether there was anything to write.
        written: bool,
    },
    /// It can't be written. It is tried again.
    Failed(Trouble),
    /// It is never written again.
    Ended(Trouble),
    /// The node shall have none.
    None,
}

impl Step {
    /// Says how far the floor has come by this step, with a view at `index`.
    pub fn tell(&self, floor: &Floor, index: u64) {
        match self {
            Self::Held { written, .. } => floor.holds(index, *written),
            Self::Failed(trouble) => floor.fails(trouble.to_string()),
            Self::Ended(trouble) => floor.ends(trouble.to_string()),
            Self::None => floor.is_absent(),
        }
    }
}

impl<M: Memory> Keeper<M> {
    /// The floor of a node, before it is written or given up.
    pub fn floor(&self) -> Floor {
        // A note that can't be read is there.
        let some = self.dir.is_some() || !matches!(self.memory.read(), Ok(None));
        Floor::new(if some { Standing::Begins } else { Standing::Absent })
    }

    /// A view that was proved fresh since the start holds all that this node had ever acknowledged. What it learns after its own
    /// removal a node vouches for no more.
    pub fn may_write(&self, published: &Published<State>) -> bool {
        let view = &published.view;
        published.fresh_as_of.is_some() && view.service_id().is_some() && view.node(self.node).is_some()
    }

    /// Brings the floor up to a view; blocks unless [`Kept::is_up_to`] that view. `boot_ms` is the node's own clock.
    pub fn step(&self, kept: Option<Box<Kept>>, view: &Arc<State>, boot_ms: u64) -> Step {
        let stepped = match (kept, self.dir.as_deref()) {
            (_, None) => self.give_up_the_former(view).map(|()| None),
            (Some(kept), Some(_)) if kept.is_up_to(view, boot_ms) => {
                Ok(Some((Kept { seen: Arc::clone(view), ..*kept }, false)))
            }
            (Some(kept), Some(dir)) => kept.follow(self, dir, view, boot_ms).map(Some),
            (None, Some(dir)) => self.begin(dir, view, boot_ms).map(|kept| Some((kept, true))),
        };
        match stepped {
            Ok(Some((kept, written))) => Step::Held { kept: Box::new(kept), written },
            Ok(None) => Step::None,
            Err(trouble) if trouble.is_final() => Step::Ended(trouble),
            Err(trouble) => Step::Failed(trouble),
        }
    }

    fn place(&self, dir: &Path, view: &State) -> Place {
        let root = Root { dir: dir.to_owned(), storage: Arc::clone(&self.storage) };
        let ulid = view.service_id().map(circlet_token::ServiceId::ulid).unwrap_or_default();
        Place::new(&root, ulid, view.generation())
    }

    fn begin(&self, dir: &Path, view: &Arc<State>, boot_ms: u64) -> Result<Kept, Trouble> {
        let remembered = self.remembered()?.filter(|note| self.is_ours(note, view));
        let now = Note { dir: dir.to_owned(), generation: view.generation(), node: self.node };
        if let Some(before) = &remembered {
            let place = self.place(&before.dir, view);
            if *before == now { must_be_there(&place, self.node)? } else { leave(&place, self.node)? }
        }
        let file = FloorFile::begin(&self.place(dir, view), self.node, view)?;
        if remembered.as_ref() != Some(&now) {
            let text = serde_json::to_vec_pretty(&now).map_err(io::Error::from);
            text.and_then(|text| self.memory.write(&text)).map_err(|source| self.of_note(source))?;
        }
        let tokens_until = view.floor_tokens_until();
        tracing::debug!(index = view.index(), dir = %dir.display(), "the revocation floor holds a new picture");
        Ok(Kept { file, seen: Arc::clone(view), tokens_until, looked_ms: boot_ms })
    }

    fn is_ours(&self, note: &Note, view: &State) -> bool {
        note.generation == view.generation() && note.node == self.node
    }

    fn remembered(&self) -> Result<Option<Note>, Trouble> {
        let Some(text) = self.memory.read().map_err(|source| self.of_note(source))? else { return Ok(None) };
        serde_json::from_slice(&text).map(Some).map_err(|error| self.of_note(error.into()))
    }

    fn of_note(&self, source: io::Error) -> Trouble {
        io_trouble(&self.memory.path(), source)
    }

    /// Of a node that keeps none any more: a restore must not take what it kept once for its floor.
    fn give_up_the_former(&self, view: &State) -> Result<(), Trouble> {
        let Some(before) = self.remembered()? else { return Ok(()) };
        if self.is_ours(&before, view) {
            leave(&self.place(&before.dir, view), self.node)?;
        }
        self.memory.forget().map_err(|source| self.of_note(source))?;
        tracing::info!(dir = %before.dir.display(), "this node keeps no revocation floor any more");
        Ok(())
    }
}

impl Kept {
    /// Whether nothing is to be done for this view: it is the same, and the file was looked for a moment ago.
    #[must_use]
    pub fn is_up_to(&self, view: &State, boot_ms: u64) -> bool {
        boot_ms.saturating_sub(self.looked_ms) < LOOK_AGAIN_MS && view.floor_is_same(&self.seen)
    }

    fn follow<M: Memory>(
        mut self,
        keeper: &Keeper<M>,
        dir: &Path,
        view: &Arc<State>,
        boot_ms: u64,
    ) -> Result<(Self, bool), Trouble> {
        let facts: Vec<FloorFact> = view.floor_changes(&self.seen).take(CHANGES_MAX + 1).collect();
        let tokens_until = self.tokens_until.max(view.floor_tokens_until());
        let written = !facts.is_empty() || tokens_until > self.tokens_until;
        if facts.len() > CHANGES_MAX || (written && self.file.is_outgrown()) {
            return keeper.begin(dir, view, boot_ms).map(|kept| (kept, true));
        }
        if written {
            self.file.append(&FloorRecord { index: view.index(), more: false, tokens_until, facts })?;
        } else {
            self.file.check()?;
        }
        Ok((Self { seen: Arc::clone(view), tokens_until, looked_ms: boot_ms, ..self }, written))
    }
}

fn io_trouble(file: &Path, source: io::Error) -> Trouble {
    Trouble::Io { file: file.to_owned(), source }
}

/// The floor that this node has written must be where it was.
fn must_be_there(place: &Place, node: u64) -> Result<(), Trouble> {
    let file = place.file(node, Phase::Open);
    let there = place.storage().exists(&file).map_err(|source| io_trouble(&file, source))?;
    if there || place.is_closed().map_err(|source| io_trouble(&file, source))? {
        return Ok(());
    }
    let why = "the floor that this node has written is not there: is its storage mounted? If it is lost for good, remove \
               data/floor.json from the home, and another is begun";
    Err(io_trouble(&file, io::Error::new(io::ErrorKind::NotFound, why)))
}

/// Takes back the floor that a node kept elsewhere. What came next may have failed: then it has been taken back already.
fn leave(place: &Place, node: u64) -> Result<(), Trouble> {
    let (file, storage) = (place.file(node, Phase::Open), place.storage());
    let left = file.with_extension("left");
    let is_done = || Ok(place.is_closed()? || (!storage.exists(&file)? && storage.exists(&left)?));
    if is_done().map_err(|source| io_trouble(&file, source))? {
        return Ok(());
    }
    let taken = storage.rename(&file, &left).and_then(|()| storage.sync_folder(&place.folder(Phase::Open)));
    taken.map_err(|source| {
        let why = format!("the floor that this node kept there can't be taken back: {source}; if it is lost for good, remove \
                           data/floor.json from the home");
        io_trouble(&file, io::Error::new(source.kind(), why))
    })
}
