//! Keeps this node's revocation floor up with its view, as long as the node runs; `data/floor.json` remembers where it is.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::floor::Floor;
use crate::floor::file::Trouble;
use crate::floor::keeping::{self, Kept, LOOK_AGAIN_MS, Memory, RETRY_MS, Step};
use crate::floor::storage::RealStorage;
use crate::home::settings::NodeSettings;
use crate::home::{self, Paths};

const FRESH_LOOK: Duration = Duration::from_millis(50);

/// The floor of a node with these settings, before it is written or given up.
pub(super) fn of(settings: &NodeSettings, paths: &Paths) -> Floor {
    keeper(settings, paths, 0).floor()
}

fn keeper(settings: &NodeSettings, paths: &Paths, node: u64) -> keeping::Keeper<HomeMemory> {
    let memory = HomeMemory(paths.floor_memory());
    keeping::Keeper { node, dir: settings.floor_dir.clone(), storage: Arc::new(RealStorage), memory }
}

/// The note in a home.
struct HomeMemory(PathBuf);

impl Memory for HomeMemory {
    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        home::write_public(&self.0, text).map_err(io::Error::other)
    }

    fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }
}

/// Who keeps a node's floor.
pub(super) struct Keeper {
    cluster: Cluster,
    keeper: Arc<keeping::Keeper<HomeMemory>>,
}

impl Keeper {
    pub(super) fn new(cluster: Cluster, paths: &Paths, settings: &NodeSettings, node: u64) -> Self {
        Self { cluster, keeper: Arc::new(keeper(settings, paths, node)) }
    }

    /// Never returns, unless the floor has ended, or there is to be none.
    pub(super) async fn run(self) {
        let floor = self.cluster.floor().clone();
        let mut kept = None;
        let mut trouble: Option<String> = None;
        loop {
            let published = self.cluster.published();
            if !self.keeper.may_write(&published) {
                tokio::time::sleep(FRESH_LOOK).await;
                continue;
            }
            let step = self.step(kept.take(), Arc::clone(&published.view)).await;
            step.tell(&floor, published.index);
            match step {
                Step::None => return,
                Step::Held { kept: now, .. } => {
                    if trouble.take().is_some() {
                        tracing::info!("the revocation floor is written again");
                    }
                    kept = Some(now);
                }
                Step::Ended(error) => {
                    tracing::error!(%error, "this node's revocation floor has ended");
                    return;
                }
                Step::Failed(error) => {
                    let why = error.to_string();
                    if trouble.as_ref() != Some(&why) {
                        tracing::error!(%error, "the revocation floor can't be written");
                    }
                    trouble = Some(why);
                    tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
                    continue;
                }
            }
            // Not reached: it is looked whether the floor is still in its place.
            let look_again = Duration::from_millis(LOOK_AGAIN_MS);
            let _ = self.cluster.wait_index(published.index.saturating_add(1), look_again).await;
        }
    }

    async fn step(&self, kept: Option<Box<Kept>>, view: Arc<circlet_authority::State>) -> Step {
        let boot_ms = self.cluster.instants().boot_ms;
        let keeper = Arc::clone(&self.keeper);
        if kept.as_ref().is_some_and(|kept| kept.is_up_to(&view, boot_ms)) {
            return keeper.step(kept, &view, boot_ms);
        }
        let file = keeper.memory.path();
        let stepped = tokio::task::spawn_blocking(move || keeper.step(kept, &view, boot_ms)).await;
        let broken_off =
            |error: tokio::task::JoinError| Trouble::Io { file, source: io::Error::other(error) };
        stepped.unwrap_or_else(|error| Step::Failed(broken_off(error)))
    }
}
