//! The floor of a simulated node: the product's own lines, on storage of its own and with a note on the node's disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::Clocks;
use circlet_raft::folder::Folder;
use openraft_rt::AsyncRuntime;

use crate::cluster::Computer;
use crate::dice::Dice;
use crate::disk::{DiskFolder, FloorDisk};
use crate::machine::Member;
use crate::plant::{self, Plant};
use crate::runtime::NodeRuntime;
use crate::scope;

#[path = "../../../src/floor/file.rs"]
pub mod file;
#[path = "../../../src/floor/frames.rs"]
mod frames;
#[path = "../../../src/floor/keeping.rs"]
pub mod keeping;
#[path = "../../../src/floor/place.rs"]
pub mod place;
#[path = "../../../src/floor/proof.rs"]
pub mod proof;
#[path = "../../../src/floor/reading.rs"]
pub mod reading;
#[path = "../../../src/floor/standing.rs"]
mod standing;
#[path = "../../../src/floor/storage.rs"]
pub mod storage;

pub use standing::{Floor, NO_FLOOR, Standing, Status};

use keeping::{LOOK_AGAIN_MS, Memory, RETRY_MS, Step};
use storage::{Root, Storage};

/// Where the storages of floors are mounted.
pub(crate) const MOUNT: &str = "/floor";
/// The note among the files of a node.
const NOTE: &str = "floor.json";
const FRESH_LOOK: Duration = Duration::from_millis(50);
/// How long a decision waits for the floor.
const PATIENCE: Duration = Duration::from_secs(2);

/// A node's note of where its floor is, on its own disk.
pub struct Note(DiskFolder);

impl Memory for Note {
    fn path(&self) -> PathBuf {
        Path::new(NOTE).to_owned()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut text = Vec::new();
        match self.0.open(NOTE).and_then(|mut file| file.read_to_end(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(|_| Some(text)),
        }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let aside = format!(".{NOTE}");
        self.0.create(&aside)?.write_all(text)?;
        self.0.sync(&aside)?;
        self.0.rename(&aside, NOTE)?;
        self.0.sync_names()
    }

    fn forget(&self) -> io::Result<()> {
        self.0.remove(NOTE)
    }
}

/// Who keeps the floor of a node.
pub(crate) type Keeper = keeping::Keeper<Note>;

/// The keeper of a node's floor on this storage.
pub(crate) fn keeper(computer: &Computer, storage: &FloorDisk) -> Keeper {
    let (node, memory) = (computer.id, Note(DiskFolder::of_keys(Arc::clone(&computer.disk))));
    Keeper {
        node,
        dir: Some(dir_of(node, computer.floor_moves())),
        storage: Arc::new(storage.clone()),
        memory,
    }
}

/// Keeps a node's floor up with its view, as long as the node runs: the loop of the product, which is tied to its threads.
pub(crate) async fn keep(member: Arc<Member>, keeper: Keeper, storage: FloorDisk, dice: Dice) {
    let mut kept = None;
    loop {
        let Some(scope) = scope::current() else { return };
        let published = member.published();
        if !keeper.may_write(&published) {
            NodeRuntime::sleep(FRESH_LOOK).await;
            continue;
        }
        let (view, index) = (plant::on_floor(&scope, &published.view), published.index);
        drop(published);
        NodeRuntime::sleep(Duration::from_micros(storage.takes_us(&dice))).await;
        let step = keeper.step(kept.take(), &view, scope.boot_ms());
        step.tell(&scope.floor(), index);
        match step {
            Step::None | Step::Ended(_) => return,
            Step::Held { kept: now, .. } => kept = Some(now),
            Step::Failed(_) => {
                NodeRuntime::sleep(Duration::from_millis(RETRY_MS)).await;
                continue;
            }
        }
        let look_again = Duration::from_millis(LOOK_AGAIN_MS);
        let _ = NodeRuntime::timeout(look_again, member.wait_index(index + 1)).await;
    }
}

/// Waits until the node that is being polled may acknowledge what its view holds up to `index`.
pub(crate) async fn may_acknowledge(member: &Member, index: u64) -> Result<(), String> {
    let Some(scope) = scope::current() else { return Err("there is no node".to_owned()) };
    if scope.history().plant() == Plant::UnheldFloor {
        return Ok(());
    }
    let view: Arc<State> = Arc::clone(&member.published().view);
    scope.floor().may_acknowledge(&view, index, NodeRuntime::sleep(PATIENCE)).await
}

/// Where the floors of these nodes are and have been.
pub(crate) fn roots(computers: &[Arc<Computer>]) -> Vec<Root> {
    let mut roots = Vec::new();
    for computer in computers {
        let Some(storage) = computer.floor.clone() else { continue };
        let (present, storage) = (computer.floor_moves(), Arc::new(storage));
        for moves in 0..=present {
            let dir = dir_of(computer.id, moves);
            // Where a floor has been before something is left; whoever restores names that as well.
            if moves == present || storage.names(&dir).is_ok_and(|names| !names.is_empty()) {
                let storage: Arc<dyn Storage> = storage.clone();
                roots.push(Root { dir, storage });
            }
        }
    }
    roots
}

/// Where a node's floor is that has moved so often.
fn dir_of(node: u64, moves: u32) -> PathBuf {
    Path::new(MOUNT).join(format!("{node}-{moves}"))
}

/// What a cluster that requires floors lacks of them: each node's own stands.
///
/// # Errors
/// Whose doesn't, and why.
pub fn stands_well(computer: &Computer) -> Result<(), String> {
    let Some((scope, _)) = computer.node().filter(|_| computer.floor.is_some()) else { return Ok(()) };
    match scope.floor().status().standing {
        Standing::Stands => Ok(()),
        other => Err(format!("the floor of node {} is {other:?}", computer.id)),
    }
}
