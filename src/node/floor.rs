//! Keeps this node's revocation floor up with its view, and says how far it has come.
//!
//! `data/floor.json` remembers where the floor is. A floor that was there and is not any more may lie on storage that is not
//! mounted, with less in it than was acknowledged since if another were begun in its stead; so none is begun then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{FloorFact, FloorRecord, State};
use circlet_raft::Published;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::floor::file::{CHANGES_MAX, FloorFile, Trouble};
use crate::floor::place::{Phase, Place};
use crate::floor::{Floor, Standing};
use crate::home::settings::NodeSettings;
use crate::home::{self, Paths};

/// How soon a node notices that its floor was sealed, if it has nothing to write.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How soon a floor that can't be written is tried again.
const RETRY: Duration = Duration::from_millis(500);
const FRESH_LOOK: Duration = Duration::from_millis(50);

/// The floor of a node with these settings, before it is written or given up.
pub(super) fn of(settings: &NodeSettings, paths: &Paths) -> Floor {
    let some = settings.floor_dir.is_some() || paths.floor_memory().exists();
    Floor::new(if some { Standing::Begins } else { Standing::Absent })
}

/// Who keeps a node's floor.
pub(super) struct Keeper {
    cluster: Cluster,
    dir: Option<PathBuf>,
    memory: PathBuf,
    node: u64,
}

/// Where a node last kept its floor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory {
    dir: PathBuf,
    generation: u64,
    node: u64,
}

/// A floor that is written, and the view that it holds.
struct Kept {
    file: FloorFile,
    seen: Arc<State>,
    tokens_until: u64,
    looked: Instant,
}

impl Keeper {
    pub(super) fn new(cluster: Cluster, paths: &Paths, settings: &NodeSettings, node: u64) -> Self {
        Self { cluster, dir: settings.floor_dir.clone(), memory: paths.floor_memory(), node }
    }

    /// Never returns, unless the floor has ended, or there is to be none.
    pub(super) async fn run(self) {
        let this = Arc::new(self);
        let floor = this.cluster.floor().clone();
        let mut kept = None;
        let mut trouble: Option<String> = None;
        loop {
            let published = this.cluster.published();
            if !this.may_write(&published) {
                tokio::time::sleep(FRESH_LOOK).await;
                continue;
            }
            match Arc::clone(&this).step(kept.take(), &published).await {
                Ok(None) => return floor.is_absent(),
                Ok(Some((now, written))) => {
                    if trouble.take().is_some() {
                        tracing::info!("the revocation floor is written again");
                    }
                    kept = Some(now);
                    floor.holds(published.index, written);
                }
                Err(error) if error.is_final() => {
                    tracing::error!(%error, "this node's revocation floor has ended");
                    floor.ends(error.to_string());
                    return;
                }
                Err(error) => {
                    let why = error.to_string();
                    if trouble.as_ref() != Some(&why) {
                        tracing::error!(%error, "the revocation floor can't be written");
                    }
                    floor.fails(why.clone());
                    trouble = Some(why);
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            // Not reached: it is looked whether the floor is still in its place.
            let _ = this.cluster.wait_index(published.index.saturating_add(1), LOOK_AGAIN).await;
        }
    }

    /// A view that was proved fresh since the start holds all that this node had ever acknowledged. What it learns after its own
    /// removal a node vouches for no more.
    fn may_write(&self, published: &Published<State>) -> bool {
        let view = &published.view;
        published.fresh_as_of.is_some() && view.service_id().is_some() && view.node(self.node).is_some()
    }

    /// Brings the floor up to the view; whether a record was written. `None` for a node that shall have none.
    async fn step(
        self: Arc<Self>,
        kept: Option<Kept>,
        published: &Published<State>,
    ) -> Result<Option<(Kept, bool)>, Trouble> {
        let view = Arc::clone(&published.view);
        let kept = match kept {
            Some(kept) if kept.looked.elapsed() < LOOK_AGAIN && view.floor_is_same(&kept.seen) => {
                return Ok(Some((Kept { seen: view, ..kept }, false)));
            }
            kept => kept,
        };
        let shown = self.memory.clone();
        let step = move || match (kept, self.dir.as_deref()) {
            (_, None) => self.give_up_the_former(&view).map(|()| None),
            (Some(kept), Some(dir)) => kept.follow(&self, dir, view).map(Some),
            (None, Some(dir)) => self.begin(dir, view).map(|kept| Some((kept, true))),
        };
        let broken_off = |error: tokio::task::JoinError| io_trouble(&shown, io::Error::other(error));
        tokio::task::spawn_blocking(step).await.map_err(broken_off)?
    }

    fn begin(&self, dir: &Path, view: Arc<State>) -> Result<Kept, Trouble> {
        let remembered = self.remembered()?.filter(|memory| self.is_ours(memory, &view));
        let now = Memory { dir: dir.to_owned(), generation: view.generation(), node: self.node };
        if let Some(before) = &remembered {
            let place = place(&before.dir, &view);
            if *before == now { must_be_there(&place, self.node)? } else { leave(&place, self.node)? }
        }
        let file = FloorFile::begin(&place(dir, &view), self.node, &view)?;
        if remembered != Some(now.clone()) {
            let text =
                serde_json::to_vec_pretty(&now).map_err(|error| io_trouble(&self.memory, error.into()))?;
            home::write_public(&self.memory, &text)
                .map_err(|error| io_trouble(&self.memory, io::Error::other(error)))?;
        }
        let tokens_until = view.floor_tokens_until();
        tracing::debug!(index = view.index(), dir = %dir.display(), "the revocation floor holds a new picture");
        Ok(Kept { file, seen: view, tokens_until, looked: Instant::now() })
    }

    fn is_ours(&self, memory: &Memory, view: &State) -> bool {
        memory.generation == view.generation() && memory.node == self.node
    }

    fn remembered(&self) -> Result<Option<Memory>, Trouble> {
        let bytes = match fs::read(&self.memory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| io_trouble(&self.memory, source))?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| io_trouble(&self.memory, error.into()))
    }

    /// Of a node that keeps none any more: a restore must not take what it kept once for its floor.
    fn give_up_the_former(&self, view: &State) -> Result<(), Trouble> {
        let Some(before) = self.remembered()? else { return Ok(()) };
        if self.is_ours(&before, view) {
            leave(&place(&before.dir, view), self.node)?;
        }
        fs::remove_file(&self.memory).map_err(|source| io_trouble(&self.memory, source))?;
        tracing::info!(dir = %before.dir.display(), "this node keeps no revocation floor any more");
        Ok(())
    }
}

impl Kept {
    fn follow(mut self, keeper: &Keeper, dir: &Path, view: Arc<State>) -> Result<(Self, bool), Trouble> {
        let facts: Vec<FloorFact> = view.floor_changes(&self.seen).take(CHANGES_MAX + 1).collect();
        let tokens_until = self.tokens_until.max(view.floor_tokens_until());
        let written = !facts.is_empty() || tokens_until > self.tokens_until;
        if facts.len() > CHANGES_MAX || (written && self.file.is_outgrown()) {
            return keeper.begin(dir, view).map(|kept| (kept, true));
        }
        if written {
            self.file.append(&FloorRecord { index: view.index(), more: false, tokens_until, facts })?;
        } else {
            self.file.check()?;
        }
        Ok((Self { seen: view, tokens_until, looked: Instant::now(), ..self }, written))
    }
}

fn place(dir: &Path, view: &State) -> Place {
    Place::new(
        dir,
        view.service_id().map(circlet_token::ServiceId::ulid).unwrap_or_default(),
        view.generation(),
    )
}

fn io_trouble(file: &Path, source: io::Error) -> Trouble {
    Trouble::Io { file: file.to_owned(), source }
}

/// The floor that this node has written must be where it was.
fn must_be_there(place: &Place, node: u64) -> Result<(), Trouble> {
    let file = place.file(node, Phase::Open);
    let there = file.try_exists().map_err(|source| io_trouble(&file, source))?;
    if there || place.is_closed().map_err(|source| io_trouble(&file, source))? {
        return Ok(());
    }
    let why = "the floor that this node has written is not there: is its storage mounted? If it is lost for good, remove \
               data/floor.json from the home, and another is begun";
    Err(io_trouble(&file, io::Error::new(io::ErrorKind::NotFound, why)))
}

/// Takes back the floor that a node kept elsewhere.
fn leave(place: &Place, node: u64) -> Result<(), Trouble> {
    let file = place.file(node, Phase::Open);
    if place.is_closed().map_err(|source| io_trouble(&file, source))? {
        return Ok(());
    }
    fs::rename(&file, file.with_extension("left")).map_err(|source| {
        let why = format!("the floor that this node kept there can't be taken back: {source}; if it is lost for good, remove \
                           data/floor.json from the home");
        io_trouble(&file, io::Error::new(source.kind(), why))
    })
}
