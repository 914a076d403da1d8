//! What can go wrong, by kind, and how often it did. A kind that never happens in many seeds proves nothing: a test looks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use circlet_authority::State;

use crate::midst::Midst;
use crate::scope::lock;

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal),* $(,)?) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault {
            $($(#[$doc])* $fault),*
        }

        impl Fault {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$fault),*];

            /// What it is called in summaries.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$fault => $name),* }
            }
        }
    };
}

faults! {
    /// A node is killed and comes back later.
    Crash = "crash",
    /// The leader is killed and comes back within its lease.
    LeaderBounced = "leader bounced",
    /// All nodes are killed at once.
    PowerCut = "power cut of all",
    /// A crash kept everything that was written.
    TailKept = "unsynced tail kept",
    /// A crash lost everything that wasn't synced.
    TailLost = "unsynced tail lost",
    /// A crash lost the later of the unsynced writes.
    TailPartlyLost = "unsynced tail partly lost",
    /// A crash tore a write in two.
    TailTorn = "unsynced tail torn",
    /// A crash in the middle of writing, naming or removing a snapshot.
    SnapshotCut = "crash while a snapshot is written",
    /// A crash in the middle of writing, naming or removing a key file.
    KeyFileCut = "crash while a key file is written",
    /// A bit of the log flips.
    LogDamaged = "log damaged",
    /// A bit of a snapshot flips.
    SnapshotDamaged = "snapshot damaged",
    /// A key file changes by a bit, loses its end, or is gone.
    KeyFileDamaged = "key file damaged",
    /// A disk goes back to what it held some time ago.
    DiskSetBack = "disk set back",
    /// Syncs take long.
    SlowDisk = "slow disk",
    /// Syncs fail.
    FailingSync = "failing sync",
    /// There is no room on a disk.
    FullDisk = "full disk",
    /// A snapshot finds no room on a full disk.
    NoRoomForSnapshot = "no room for a snapshot",
    /// A key file finds no room.
    NoRoomForKey = "no room for a key file",
    /// The disk of a leader is full or slow while nothing else is wrong.
    LeaderDiskBad = "leader's disk bad",
    /// A cut in both directions.
    Cut = "cut",
    /// A cut in one direction.
    CutOneWay = "cut one way",
    /// A cut with a node that both sides reach.
    CutWithBridge = "cut with a bridge",
    /// What a node hears is late, then it is cut off.
    LagThenCut = "lag, then cut",
    /// The network becomes slow and lossy.
    Storm = "storm",
    /// A connection breaks, and what was under way on it is lost.
    ConnectionBroken = "connection broken",
    /// A connection hangs and is given up.
    ConnectionHung = "connection hung",
    /// A question or an answer never arrives, and its connection lives on.
    FrameLost = "frame lost",
    /// A frame arrives twice.
    FrameDoubled = "frame doubled",
    /// A frame arrives after a later one.
    FrameOvertaken = "frame overtaken",
    /// A process is stopped for a while; its clocks go on.
    Pause = "pause",
    /// A machine is suspended for a while; its monotonic clock stands.
    Suspension = "suspension",
    /// A wall clock is set off by seconds.
    ClockBySeconds = "clock set off by seconds",
    /// A wall clock is set off by days.
    ClockByDays = "clock set off by days",
    /// A wall clock is set off by years.
    ClockByYears = "clock set off by years",
    /// Clocks go faster or slower than they did.
    Drift = "clock drift",
    /// Leadership is handed over.
    Transfer = "leadership handed over",
    /// A node joins.
    Join = "node joins",
    /// A node joins that never votes.
    LearnerJoins = "node joins that never votes",
    /// A node is started at another address.
    Moved = "node moves",
    /// A node leaves.
    Leave = "node leaves",
    /// A node is lost with its disk, and another takes its place.
    Replacement = "node replaced",
    /// Somebody may have the disk of a node that was replaced.
    DeclaredLost = "node declared lost",
    /// A node is restarted as a later version.
    Upgraded = "node upgraded",
    /// A node is restarted as an earlier version, before the level rises.
    TakenBack = "node taken back to the version before",
    /// A node is started as a version that doesn't support the level.
    TooOld = "node started that is too old",
    /// A node that doesn't support the level asks to join.
    OlderJoiner = "node that is too old not let in",
    /// A node that lags behind is sent a snapshot.
    SnapshotInstalled = "snapshot installed",
    /// Another cluster can't be asked, and doesn't answer.
    FeedCut = "circle cut",
    /// Another cluster can't be asked, or its answers don't arrive.
    FeedCutOneWay = "circle cut one way",
    /// Questions to another cluster and its answers take long.
    FeedLate = "circle slow",
    /// Questions to another cluster and its answers are lost.
    FeedLost = "circle lossy",
    /// Somebody repeats what another cluster has answered before.
    FeedReplayed = "feed repeated",
    /// Somebody makes up what another cluster answers, changes it or cuts it off.
    FeedForged = "feed forged",
    /// The cluster is lost, and begins anew from a backup that was made some time before.
    Restored = "restored from a backup",
    /// All nodes but one are lost, and the cluster begins anew from what that one holds.
    Recovered = "recovered from one node",
    /// Nodes that a recovery gave up come back, and live on until they are told.
    LivedOn = "given up, and back",
    /// A floor can't be written, for want of room or of a disk that syncs.
    FloorUnwritable = "floor can't be written",
    /// Syncs of a floor take long.
    FloorSlow = "floor slow",
    /// The storage of a floor can't be reached.
    FloorAway = "floor out of reach",
    /// A crash in the middle of writing a floor.
    FloorCut = "crash while a floor is written",
    /// A floor moves to another directory.
    FloorMoved = "floor moved",
    /// A cluster that is lost begins anew from a backup, on floors.
    RestoredOnFloor = "restored on floors",
    /// One of whose nodes one is left does.
    RecoveredOnFloor = "recovered on floors",
    /// Floors are taken from nodes that still live.
    Fenced = "nodes fenced off",
    /// One of the floors is gone, damaged, a copy or out of reach when they are needed.
    FloorSpoilt = "floor spoilt when needed",
}

impl Fault {
    /// Those that concern the way between two clusters.
    pub const BETWEEN: [Self; 6] = [
        Self::FeedCut,
        Self::FeedCutOneWay,
        Self::FeedLate,
        Self::FeedLost,
        Self::FeedReplayed,
        Self::FeedForged,
    ];

    /// Those that concern floors alone.
    pub const OF_FLOORS: [Self; 5] =
        [Self::FloorUnwritable, Self::FloorSlow, Self::FloorAway, Self::FloorCut, Self::FloorMoved];

    /// Whether a cluster ends with it, and another one begins.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Restored
                | Self::Recovered
                | Self::RestoredOnFloor
                | Self::RecoveredOnFloor
                | Self::Fenced
                | Self::LivedOn
                | Self::FloorSpoilt
        )
    }

    /// Whether it comes in few runs, or takes what is in few.
    #[must_use]
    pub fn is_rare(self) -> bool {
        let of_few = matches!(
            self,
            Self::SnapshotCut
                | Self::KeyFileCut
                | Self::NoRoomForSnapshot
                | Self::NoRoomForKey
                | Self::LeaderDiskBad
                | Self::DeclaredLost
                | Self::LearnerJoins
                | Self::OlderJoiner
        );
        of_few || !self.is_within()
    }

    /// Whether it comes seldom, or for a moment.
    #[must_use]
    pub fn is_seldom(self) -> bool {
        matches!(
            self,
            Self::CutOneWay
                | Self::CutWithBridge
                | Self::ClockBySeconds
                | Self::ClockByDays
                | Self::ClockByYears
                | Self::LogDamaged
                | Self::SnapshotDamaged
                | Self::KeyFileDamaged
                | Self::SnapshotInstalled
                | Self::ConnectionBroken
                | Self::Drift
                | Self::Transfer
                | Self::Join
                | Self::Moved
                | Self::Leave
                | Self::Replacement
                | Self::Upgraded
                | Self::TakenBack
                | Self::TooOld
        )
    }

    /// Whether it happens to a single cluster, and that goes on.
    #[must_use]
    pub fn is_within(self) -> bool {
        !self.is_final() && !Self::BETWEEN.contains(&self) && !Self::OF_FLOORS.contains(&self)
    }
}

/// How often each kind happened in one run, and to one cluster in the midst of what.
#[derive(Debug)]
pub struct Faults {
    counts: Arc<Mutex<BTreeMap<Fault, u64>>>,
    midst: Arc<Midst>,
}

impl Faults {
    /// None yet, in a cluster that changes so.
    #[must_use]
    pub fn of(midst: &Arc<Midst>) -> Arc<Self> {
        Arc::new(Self { counts: Arc::default(), midst: Arc::clone(midst) })
    }

    /// Those of another cluster of the same run.
    #[must_use]
    pub fn beside(&self, midst: &Arc<Midst>) -> Arc<Self> {
        Arc::new(Self { counts: Arc::clone(&self.counts), midst: Arc::clone(midst) })
    }

    /// One more.
    pub fn count(&self, fault: Fault) {
        *lock(&self.counts).entry(fault).or_default() += 1;
        self.midst.count(fault);
    }

    /// One more, in the midst of what is under way in this state.
    pub fn count_in(&self, fault: Fault, state: &State) {
        *lock(&self.counts).entry(fault).or_default() += 1;
        self.midst.count_in(fault, state);
    }

    /// The kinds that haven't happened yet.
    #[must_use]
    pub fn absent(&self) -> Vec<Fault> {
        let counts = lock(&self.counts);
        Fault::ALL.iter().copied().filter(|fault| !counts.contains_key(fault)).collect()
    }

    /// How often each happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Fault, u64> {
        lock(&self.counts).clone()
    }
}
