//! A simulated disk: what isn't synced is lost with the node, fully or in part.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_raft::engine::{Batch, Change, DiskReport, Done, Engine, Pulse, ROOM_LOOK, Visit};
use openraft_rt::AsyncRuntime;
use tokio::sync::Notify;

use crate::dice::Dice;
use crate::fault::Fault;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::{self, Scope, lock};

mod files;

pub use files::{DiskFolder, Files, FloorDisk, Spoilt};

/// How long a batch that nobody waits for may stay in memory, as in the real flusher.
const LAZY_FLUSH: Duration = Duration::from_millis(100);

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// What survives a crash: the log's records, the files of snapshots, and those with keys.
#[derive(Debug, Default)]
pub struct Disk {
    synced: Mutex<Records>,
    /// Written in this order since the last sync; a crash keeps a prefix of them.
    unsynced: Mutex<Vec<Vec<Change>>>,
    files: Mutex<Files>,
    keys: Mutex<Files>,
    habits: Mutex<Habits>,
}

/// What a disk holds, to set it back to later.
#[derive(Clone, Debug)]
pub struct Image {
    synced: Records,
    files: Files,
    keys: Files,
}

/// How the disk behaves.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub struct Habits {
    /// A sync takes at least this long, in microseconds.
    pub sync_us_min: u64,
    /// And at most this long.
    pub sync_us_max: u64,
    /// Every sync fails.
    pub fails: bool,
    /// Nothing more can be written.
    pub full: bool,
    /// No more key file can be written: they are on a file system of their own.
    pub full_for_keys: bool,
    /// Something went wrong in this life of the node that may stop it.
    pub hurt: bool,
    /// Something on it was damaged, which its node finds when it starts next.
    pub damaged: bool,
    /// A key file on it was damaged, and nothing was put in its place yet.
    pub key_damaged: bool,
    /// Its node has said that something is wrong with its key file.
    pub key_problem: bool,
    /// A snapshot found no room since it was full.
    pub snapshot_refused: bool,
    /// Likewise a key file.
    pub key_refused: bool,
    /// Planted: batches are reported durable before they are.
    pub acknowledges_early: bool,
    /// Planted: a node that starts doesn't find how far it knew that the log is decided.
    pub forgets_committed: bool,
}

/// Where the log keeps that, as `raft/src/log_store/record.rs` documents it.
const COMMITTED: &[u8] = b"mcommitted";

impl Default for Habits {
    fn default() -> Self {
        Self {
            sync_us_min: 100,
            sync_us_max: 600,
            fails: false,
            full: false,
            full_for_keys: false,
            hurt: false,
            damaged: false,
            key_damaged: false,
            key_problem: false,
            snapshot_refused: false,
            key_refused: false,
            acknowledges_early: false,
            forgets_committed: false,
        }
    }
}

impl Habits {
    /// Why nothing can be written or synced, if so.
    fn failure(self, keys: bool) -> Option<io::Error> {
        if self.full || (keys && self.full_for_keys) {
            return Some(io::Error::new(io::ErrorKind::StorageFull, "no space left on the simulated disk"));
        }
        self.fails.then(|| io::Error::other("the simulated disk failed"))
    }
}

impl Disk {
    /// Changes how it behaves.
    pub fn set(&self, change: impl FnOnce(&mut Habits)) {
        let mut habits = lock(&self.habits);
        change(&mut habits);
        habits.hurt |= habits.fails;
    }

    /// Ends what is wrong with it and doesn't last.
    pub fn make_good(&self) {
        let usual = Habits::default();
        self.set(|habits| {
            (habits.fails, habits.full, habits.full_for_keys) = (false, false, false);
            (habits.sync_us_min, habits.sync_us_max) = (usual.sync_us_min, usual.sync_us_max);
        });
    }

    /// Whether anything happened to it that may make its node stop.
    #[must_use]
    pub fn is_hurt(&self) -> bool {
        let habits = self.habits();
        habits.hurt || habits.damaged || habits.key_damaged
    }

    /// No node runs on it any more that could have been hurt.
    pub fn end_life(&self) {
        self.set(|habits| (habits.hurt, habits.key_problem) = (false, false));
    }

    /// A node has read all of it and runs: if anything was damaged, it was found, and did no harm.
    pub fn begin_life(&self) {
        self.set(|habits| habits.damaged = false);
    }

    /// How it behaves, and what happened to it.
    pub fn habits(&self) -> Habits {
        *lock(&self.habits)
    }

    /// Loses a part of what isn't synced, from a random byte on. A batch that is cut in two is dropped, as the real
    /// engine drops one whose checksum is wrong. Returns how many batches were
    /// lost, and what happened if anything wasn't synced.
    pub fn crash(&self, dice: &Dice) -> (usize, Option<Fault>) {
        lock(&self.files).crash(dice);
        lock(&self.keys).crash(dice);
        let unsynced = std::mem::take(&mut *lock(&self.unsynced));
        let sizes: Vec<u64> = unsynced.iter().map(|batch| bytes_of(batch)).collect();
        let all: u64 = sizes.iter().sum();
        let ends: Vec<u64> = sizes
            .iter()
            .scan(0, |end, size| {
                *end += size;
                Some(*end)
            })
            .collect();
        let cut = match dice.between(0, 4) {
            0 => 0,
            1 => all,
            2 => dice.pick(&ends).copied().unwrap_or(0),
            _ => dice.between(0, all),
        };
        let (mut kept, mut whole) = (0, 0);
        for end in ends.into_iter().take_while(|end| *end <= cut) {
            (kept, whole) = (kept + 1, end);
        }
        let count = unsynced.len();
        let mut synced = lock(&self.synced);
        unsynced.into_iter().take(kept).for_each(|changes| apply(&mut synced, changes));
        let tail = match (count, kept) {
            (0, _) => None,
            _ if kept == count => Some(Fault::TailKept),
            _ if cut > whole => Some(Fault::TailTorn),
            (_, 0) => Some(Fault::TailLost),
            _ => Some(Fault::TailPartlyLost),
        };
        (count - kept, tail)
    }

    /// How many writes a crash could lose now.
    #[must_use]
    pub fn behind(&self) -> usize {
        lock(&self.unsynced).len()
    }

    /// Everything on it, as it is.
    #[must_use]
    pub fn image(&self) -> Image {
        Image {
            synced: lock(&self.synced).clone(),
            files: lock(&self.files).clone(),
            keys: lock(&self.keys).clone(),
        }
    }

    /// Goes back to what it held. The node must be down.
    pub fn set_back(&self, to: &Image) {
        lock(&self.synced).clone_from(&to.synced);
        lock(&self.files).clone_from(&to.files);
        lock(&self.keys).clone_from(&to.keys);
    }

    /// How many records it holds.
    #[must_use]
    pub fn records(&self) -> usize {
        lock(&self.synced).len()
    }

    /// Flips a bit in a random record of the log. The node must be down. False if there is none.
    pub fn damage_log(&self, dice: &Dice) -> bool {
        self.set(|habits| habits.damaged = true);
        let mut synced = lock(&self.synced);
        let keys: Vec<Vec<u8>> = synced.keys().cloned().collect();
        dice.pick(&keys).and_then(|key| synced.get_mut(key)).is_some_and(|value| flip_a_bit(value, dice))
    }

    /// Flips a bit in a random snapshot. False if there is none.
    pub fn damage_snapshot(&self, dice: &Dice) -> bool {
        let damaged = lock(&self.files).damage(dice);
        self.set(|habits| habits.damaged |= damaged);
        damaged
    }

    /// Damages the key file of this name, and says how, if it is there.
    pub fn damage_key(&self, name: &str, dice: &Dice) -> Option<&'static str> {
        let how = lock(&self.keys).damage_named(name, dice)?;
        self.set(|habits| habits.key_damaged = true);
        Some(how)
    }

    /// The power goes at the snapshot file operation that comes after so many others.
    pub fn arm(&self, operations: Option<u64>) {
        lock(&self.files).arm(operations);
    }

    /// The same, at an operation on a key file.
    pub fn arm_keys(&self, operations: Option<u64>) {
        lock(&self.keys).arm(operations);
    }

    /// Whether the power went where it had been armed.
    #[must_use]
    pub fn is_halted(&self) -> bool {
        lock(&self.files).is_halted() || self.is_halted_at_keys()
    }

    /// Whether it went at a key file.
    #[must_use]
    pub fn is_halted_at_keys(&self) -> bool {
        lock(&self.keys).is_halted()
    }

    /// What the key files would hold after a crash that loses all that it can.
    #[must_use]
    pub fn durable_keys(&self) -> Vec<Vec<u8>> {
        lock(&self.keys).durable()
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

/// How much room a batch takes, with a checksum.
fn bytes_of(batch: &[Change]) -> u64 {
    let bytes: usize = batch
        .iter()
        .map(|change| match change {
            Change::Put(key, value) => key.len() + value.len(),
            Change::Remove(key) => key.len(),
        })
        .sum();
    bytes as u64 + 8
}

fn flip_a_bit(bytes: &mut [u8], dice: &Dice) -> bool {
    let at = usize::try_from(dice.between(0, bytes.len().saturating_sub(1) as u64)).unwrap_or(0);
    bytes.get_mut(at).is_some_and(|byte| {
        *byte ^= 1 << dice.between(0, 7);
        true
    })
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
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    pulse: Pulse,
    /// Whose clock times what the disk does.
    scope: Option<Arc<Scope>>,
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
        let shared = Arc::new(Shared { scope: scope::current(), ..Shared::default() });
        lock(&shared.records).clone_from(&lock(&disk.synced));
        if disk.habits().forgets_committed {
            lock(&shared.records).remove(COMMITTED);
        }
        let flushing = Arc::clone(&shared);
        drop(NodeRuntime::spawn(async move { flushing.run(&disk, &dice).await }));
        Self { shared }
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
        self.pulse.taken(round.len() as u64);
        let (batches, waiting): (Vec<_>, Vec<_>) =
            round.into_iter().map(|(batch, done)| (batch.into_changes(), done)).unzip();
        let mut waiting: Vec<Done> = waiting.into_iter().flatten().collect();
        self.wait_for_room(disk).await;
        self.pulse.begin(self.now_micros());
        let habits = disk.habits();
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
            lock(&self.failure).get_or_insert_with(|| "the simulated disk failed".to_owned());
        }
        let failure = lock(&self.failure).clone();
        if failure.is_none() {
            disk.sync();
        }
        self.pulse.end(self.now_micros());
        for done in waiting {
            done(failure.as_ref().map_or(Ok(()), |reason| Err(io::Error::other(reason.clone()))));
        }
    }

    /// Returns when the disk has room, as the product's flusher does: what finds none isn't begun, and nobody is told that
    /// it is durable.
    async fn wait_for_room(&self, disk: &Disk) {
        while disk.habits().full && lock(&self.failure).is_none() {
            self.pulse.wait_for_room(true);
            NodeRuntime::sleep(ROOM_LOOK).await;
        }
        self.pulse.wait_for_room(false);
    }

    /// On the monotonic clock of the node, whoever asks.
    fn now_micros(&self) -> u64 {
        let global = global_nanos();
        self.scope.as_ref().map_or(global, |scope| scope.monotonic(global)) / 1_000
    }
}

impl Engine for DiskEngine {
    fn submit(&self, batch: Batch, done: Done) {
        self.shared.pulse.queued();
        lock(&self.shared.queue).push_back((batch, Some(done)));
        self.shared.urgent.notify_one();
    }

    fn submit_lazily(&self, batch: Batch) {
        self.shared.pulse.queued();
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

    fn disk(&self) -> DiskReport {
        self.shared.pulse.report_at(self.shared.now_micros(), self.failure().is_some())
    }

    fn file(&self) -> String {
        "the simulated disk".to_owned()
    }
}
