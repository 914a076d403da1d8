//! A simulated disk under the log: what isn't synced is lost with the node, fully or in part.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_raft::engine::{Batch, Change, Done, Engine, Visit};
use openraft_rt::AsyncRuntime;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::runtime::NodeRuntime;
use crate::scope::lock;

/// How long a batch that nobody waits for may stay in memory, as in the real flusher.
const LAZY_FLUSH: Duration = Duration::from_millis(100);

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// What survives a crash.
#[derive(Debug, Default)]
pub struct Disk {
    synced: Mutex<Records>,
    /// Written in this order since the last sync; a crash keeps a prefix of them.
    unsynced: Mutex<Vec<Vec<Change>>>,
    habits: Mutex<Habits>,
}

/// How the disk behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// A sync takes at least this long, in microseconds.
    pub sync_us_min: u64,
    /// And at most this long.
    pub sync_us_max: u64,
    /// Every sync fails.
    pub fails: bool,
    /// Planted: batches are reported durable before they are.
    pub acknowledges_early: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { sync_us_min: 100, sync_us_max: 600, fails: false, acknowledges_early: false }
    }
}

impl Disk {
    /// Changes how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut Habits)) {
        change(&mut lock(&self.habits));
    }

    /// Whether it fails every sync.
    #[must_use]
    pub fn fails(&self) -> bool {
        lock(&self.habits).fails
    }

    /// Loses a part of what isn't synced: everything from a random batch on. Returns how many batches were lost.
    pub fn crash(&self, dice: &Dice) -> usize {
        let unsynced = std::mem::take(&mut *lock(&self.unsynced));
        let kept = match dice.between(0, 2) {
            0 => 0,
            1 => unsynced.len(),
            _ => usize::try_from(dice.between(0, unsynced.len() as u64)).unwrap_or(0),
        };
        let lost = unsynced.len() - kept;
        let mut synced = lock(&self.synced);
        unsynced.into_iter().take(kept).for_each(|changes| apply(&mut synced, changes));
        lost
    }

    /// Flips a bit in a random value. False if there is nothing to damage.
    pub fn damage(&self, dice: &Dice) -> bool {
        let mut synced = lock(&self.synced);
        let keys: Vec<Vec<u8>> = synced.keys().cloned().collect();
        let Some(value) = dice.pick(&keys).and_then(|key| synced.get_mut(key)) else { return false };
        let at = usize::try_from(dice.between(0, value.len().saturating_sub(1) as u64)).unwrap_or(0);
        value.get_mut(at).is_some_and(|byte| {
            *byte ^= 1 << dice.between(0, 7);
            true
        })
    }

    fn write(&self, batches: &[Vec<Change>]) {
        lock(&self.unsynced).extend(batches.iter().cloned());
    }

    fn sync(&self) {
        let unsynced = std::mem::take(&mut *lock(&self.unsynced));
        let mut synced = lock(&self.synced);
        for changes in unsynced {
            apply(&mut synced, changes);
        }
    }
}

fn apply(records: &mut Records, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Put(key, value) => {
                records.insert(key, value);
            }
            Change::Remove(key) => {
                records.remove(&key);
            }
        }
    }
}

/// An [`Engine`] on a [`Disk`], for one life of a node.
pub struct DiskEngine {
    disk: Arc<Disk>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What reads see.
    records: Mutex<Records>,
    queue: Mutex<VecDeque<(Batch, Option<Done>)>>,
    urgent: Notify,
    lazy: Notify,
    failure: Mutex<Option<String>>,
}

impl DiskEngine {
    /// Opens a disk after a crash or for the first time. Call it inside the node's scope: the flusher runs there.
    #[must_use]
    pub fn open(disk: Arc<Disk>, dice: Dice) -> Self {
        let shared = Arc::new(Shared::default());
        shared.records.lock().expect("nobody else has it yet").clone_from(&lock(&disk.synced));
        let (flushed, flushing) = (Arc::clone(&disk), Arc::clone(&shared));
        drop(NodeRuntime::spawn(async move { flushing.run(&flushed, &dice).await }));
        Self { disk, shared }
    }
}

impl Shared {
    async fn run(&self, disk: &Disk, dice: &Dice) {
        loop {
            let lazily = async {
                self.lazy.notified().await;
                NodeRuntime::sleep(LAZY_FLUSH).await;
            };
            let _ = NodeRuntime::select2(self.urgent.notified(), lazily).await;
            loop {
                let round: Vec<_> = lock(&self.queue).drain(..).collect();
                if round.is_empty() {
                    break;
                }
                self.flush(disk, dice, round).await;
            }
        }
    }

    async fn flush(&self, disk: &Disk, dice: &Dice, round: Vec<(Batch, Option<Done>)>) {
        let habits = *lock(&disk.habits);
        let (batches, waiting): (Vec<_>, Vec<_>) =
            round.into_iter().map(|(batch, done)| (batch.into_changes(), done)).unzip();
        let mut waiting: Vec<Done> = waiting.into_iter().flatten().collect();
        if lock(&self.failure).is_none() {
            disk.write(&batches);
            let mut records = lock(&self.records);
            for changes in batches {
                apply(&mut records, changes);
            }
        }
        if habits.acknowledges_early {
            waiting.drain(..).for_each(|done| done(Ok(())));
        }
        let wait = dice.between(habits.sync_us_min, habits.sync_us_max);
        NodeRuntime::sleep(Duration::from_micros(wait)).await;
        if habits.fails {
            lock(&self.failure).get_or_insert_with(|| "the disk failed".to_owned());
        }
        let failure = lock(&self.failure).clone();
        if failure.is_none() {
            disk.sync();
        }
        for done in waiting {
            done(failure.as_ref().map_or(Ok(()), |reason| Err(io::Error::other(reason.clone()))));
        }
    }
}

impl Engine for DiskEngine {
    fn submit(&self, batch: Batch, done: Done) {
        lock(&self.shared.queue).push_back((batch, Some(done)));
        self.shared.urgent.notify_one();
    }

    fn submit_lazily(&self, batch: Batch) {
        lock(&self.shared.queue).push_back((batch, None));
        self.shared.lazy.notify_one();
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(lock(&self.shared.records).get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> io::Result<()> {
        let records = lock(&self.shared.records);
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(to));
        for (key, value) in records.range::<[u8], _>(range) {
            if visit(key, value).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn failure(&self) -> Option<String> {
        lock(&self.shared.failure).clone()
    }

    fn file(&self) -> String {
        let _ = &self.disk;
        "the simulated disk".to_owned()
    }
}
