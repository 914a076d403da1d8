//! What is done to the cluster, at random: crashes, cuts, storms, pauses, wrong clocks, bad disks, nodes that come and go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_raft::NodeId;
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, ask};
use crate::dice::Dice;
use crate::disk::{FloorDisk, Habits};
use crate::fault::Fault;
use crate::history::Event;
use crate::midst::Change;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;
use crate::wires::Weather;

mod clocks;
mod disks;
mod floors;
mod key_files;
mod members;
mod network;
mod versions;

/// What can be done, and for which of a hundred numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strike {
    Crash = 7,
    CrashWriting = 10,
    BounceLeader = 19,
    Cut = 38,
    LagThenCut = 43,
    Storm = 50,
    CutKeyFile = 52,
    StarveKeys = 54,
    Pause = 58,
    Suspend = 65,
    SlowDisk = 69,
    FailingDisk = 71,
    FullDisk = 73,
    BadDiskOfLeader = 74,
    CutSnapshot = 76,
    DamageLog = 78,
    DamageKeyFile = 79,
    DamageSnapshot = 80,
    SetBack = 81,
    SetClock = 86,
    Drift = 87,
    HandOver = 90,
    Move = 91,
    PowerCut = 93,
    Join = 95,
    Leave = 97,
    Lose = 99,
    /// Only where it is sought.
    LeaveBehind = 100,
    /// Likewise, and by those who roll out versions.
    Reinstall = 101,
}

impl Strike {
    const ALL: [Self; 27] = [
        Self::Crash,
        Self::CrashWriting,
        Self::BounceLeader,
        Self::Cut,
        Self::LagThenCut,
        Self::Storm,
        Self::CutKeyFile,
        Self::StarveKeys,
        Self::Pause,
        Self::Suspend,
        Self::SlowDisk,
        Self::FailingDisk,
        Self::FullDisk,
        Self::BadDiskOfLeader,
        Self::CutSnapshot,
        Self::DamageLog,
        Self::DamageKeyFile,
        Self::DamageSnapshot,
        Self::SetBack,
        Self::SetClock,
        Self::Drift,
        Self::HandOver,
        Self::Move,
        Self::PowerCut,
        Self::Join,
        Self::Leave,
        Self::Lose,
    ];

    /// The first whose number isn't below the one that was drawn.
    fn drawn(number: u64) -> Self {
        Self::ALL.into_iter().find(|strike| *strike as u64 >= number).unwrap_or(Self::Lose)
    }

    /// The one that makes this kind of fault, or makes it likely.
    fn toward(fault: Fault) -> Self {
        match fault {
            Fault::Crash => Self::Crash,
            Fault::TailKept | Fault::TailLost | Fault::TailPartlyLost | Fault::TailTorn => Self::CrashWriting,
            Fault::LeaderBounced => Self::BounceLeader,
            // What isn't made here comes by itself.
            Fault::PowerCut
            | Fault::Restored
            | Fault::Recovered
            | Fault::FeedCut
            | Fault::FeedCutOneWay
            | Fault::FeedLate
            | Fault::FeedLost
            | Fault::FeedReplayed
            | Fault::FeedForged
            | Fault::FloorUnwritable
            | Fault::FloorSlow
            | Fault::FloorAway
            | Fault::FloorCut
            | Fault::FloorMoved
            | Fault::RestoredOnFloor
            | Fault::RecoveredOnFloor
            | Fault::Fenced
            | Fault::LivedOn
            | Fault::FloorSpoilt => Self::PowerCut,
            Fault::SnapshotCut => Self::CutSnapshot,
            Fault::KeyFileCut => Self::CutKeyFile,
            Fault::NoRoomForKey => Self::StarveKeys,
            Fault::LogDamaged => Self::DamageLog,
            Fault::KeyFileDamaged => Self::DamageKeyFile,
            Fault::SnapshotDamaged => Self::DamageSnapshot,
            Fault::DiskSetBack => Self::SetBack,
            Fault::SlowDisk => Self::SlowDisk,
            Fault::FailingSync => Self::FailingDisk,
            Fault::FullDisk | Fault::NoRoomForSnapshot => Self::FullDisk,
            Fault::LeaderDiskBad => Self::BadDiskOfLeader,
            Fault::Cut | Fault::CutOneWay | Fault::CutWithBridge | Fault::ConnectionHung => Self::Cut,
            Fault::LagThenCut => Self::LagThenCut,
            Fault::Storm
            | Fault::ConnectionBroken
            | Fault::FrameLost
            | Fault::FrameDoubled
            | Fault::FrameOvertaken => Self::Storm,
            Fault::Pause => Self::Pause,
            Fault::Suspension => Self::Suspend,
            Fault::ClockBySeconds | Fault::ClockByDays | Fault::ClockByYears => Self::SetClock,
            Fault::Drift => Self::Drift,
            Fault::Transfer => Self::HandOver,
            Fault::Join | Fault::LearnerJoins | Fault::OlderJoiner => Self::Join,
            Fault::Moved => Self::Move,
            Fault::Upgraded | Fault::TakenBack | Fault::TooOld => Self::Reinstall,
            Fault::Leave => Self::Leave,
            Fault::Replacement | Fault::DeclaredLost => Self::Lose,
            Fault::SnapshotInstalled => Self::LeaveBehind,
        }
    }
}

/// Of a hundred things that are done so many are to come in the midst of a change.
const WISHED_PERCENT: u64 = 25;
/// How long it may take until clients begin one, in milliseconds.
const BEGINS_MS_MAX: u64 = 600;

/// How long a change of the members may take once nothing is wrong any more.
const MOVE_MS_MAX: u64 = 40_000;

/// All faults of one run.
pub struct Chaos {
    cluster: Arc<Cluster>,
    dice: Dice,
    over: AtomicBool,
    /// Faults under way, and whom each strikes.
    under_way: Mutex<BTreeMap<u64, (Strike, NodeId)>>,
    /// Counts the faults.
    strikes: AtomicU64,
    /// One fault wants to be alone.
    quiet: AtomicBool,
    /// Nodes come or go: one change at a time.
    moving: AtomicBool,
    /// What began last that changes who belongs to the cluster.
    waits_for: Mutex<Option<&'static str>>,
    /// Whose wall clock is or was wrong, and since when it is right again.
    wrong_clock: Mutex<(Option<NodeId>, Option<u64>)>,
    /// Only what has not happened in this run is sought.
    seeks: bool,
}

impl Chaos {
    /// Nothing is done yet. One that `seeks` does what makes a kind of fault that has not happened in this run.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, dice: Dice, seeks: bool) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            dice,
            over: AtomicBool::new(false),
            under_way: Mutex::default(),
            strikes: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            moving: AtomicBool::new(false),
            waits_for: Mutex::default(),
            wrong_clock: Mutex::default(),
            seeks,
        })
    }

    /// What is done next. In the midst of what is short, each is as likely as another.
    fn next(&self, provoked: bool) -> Strike {
        if !self.seeks {
            let any = self.dice.pick(&Strike::ALL).copied().filter(|_| provoked);
            return any.unwrap_or_else(|| Strike::drawn(self.dice.between(0, 99)));
        }
        let mut absent = self.cluster.faults.absent();
        absent.retain(|fault| fault.is_within());
        self.dice.pick(&absent).map_or(Strike::Crash, |fault| Strike::toward(*fault))
    }

    fn note(&self, fault: Fault, what: String) {
        self.cluster.faults.count(fault);
        self.say(what);
    }

    fn say(&self, what: String) {
        self.cluster.history.tell(&Event::Fault { what });
    }

    async fn wait_ms(&self, low: u64, high: u64) {
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(low, high))).await;
    }

    /// Does one thing after the other, several at a time, until told to stop.
    pub async fn rage(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            let provoked = self.pause_between().await;
            if self.quiet.load(Ordering::SeqCst) || self.over.load(Ordering::SeqCst) {
                continue;
            }
            let Some(victim) = self.dice.pick(&self.cluster.computers()).cloned() else { return };
            let (this, strike) = (Arc::clone(&self), self.next(provoked));
            drop(NodeRuntime::spawn(async move { this.strike_noted(strike, victim).await }));
        }
    }

    /// Strikes, and is under way meanwhile.
    async fn strike_noted(&self, strike: Strike, victim: Arc<Computer>) {
        let serial = self.strikes.fetch_add(1, Ordering::SeqCst);
        lock(&self.under_way).insert(serial, (strike, victim.id));
        if self.dice.percent(WISHED_PERCENT) {
            self.have_changed().await;
        }
        // It may have left meanwhile.
        if self.cluster.computers().iter().any(|computer| computer.id == victim.id) {
            self.strike(strike, victim).await;
        }
        lock(&self.under_way).remove(&serial);
    }

    /// Waits for a while, or until somebody begins what something should go wrong in, which it says.
    async fn pause_between(&self) -> bool {
        let most_ms = if self.seeks { 300 } else { 900 };
        let time = Duration::from_millis(self.dice.between(50, most_ms));
        NodeRuntime::timeout(time, self.cluster.history.midst().provoked()).await.is_ok()
    }

    async fn strike(&self, strike: Strike, victim: Arc<Computer>) {
        match strike {
            Strike::Crash => self.crash(victim).await,
            Strike::CrashWriting => self.crash_writing(victim).await,
            Strike::BounceLeader => self.bounce_leader().await,
            Strike::Cut => self.cut().await,
            Strike::LagThenCut => self.lag_then_cut(victim).await,
            Strike::Storm => self.storm().await,
            Strike::Pause => self.pause(victim, false).await,
            Strike::Suspend => self.pause(victim, true).await,
            Strike::SlowDisk => self.slow_disk(victim).await,
            Strike::FailingDisk => self.failing_disk(victim).await,
            Strike::FullDisk => self.full_disk(victim).await,
            Strike::BadDiskOfLeader => self.bad_disk_of_leader().await,
            Strike::CutSnapshot => self.cut_snapshot(victim).await,
            Strike::CutKeyFile => self.cut_key_file(victim).await,
            Strike::StarveKeys => self.starve_keys(victim).await,
            Strike::DamageLog => self.damage_log(victim).await,
            Strike::DamageKeyFile => self.damage_key_file(victim).await,
            Strike::DamageSnapshot => self.damage_snapshot(victim).await,
            Strike::SetBack => self.set_back(victim).await,
            Strike::SetClock => self.set_clock(),
            Strike::Drift => self.drift(&victim),
            Strike::HandOver => self.hand_over(victim).await,
            Strike::PowerCut => self.power_cut().await,
            Strike::Join => self.let_join().await,
            Strike::Move => self.let_move(&victim).await,
            Strike::Leave => self.let_leave(victim).await,
            Strike::Lose => self.lose(victim).await,
            Strike::LeaveBehind => self.leave_behind(victim).await,
            Strike::Reinstall => self.reinstall(&victim).await,
        }
    }

    /// Ends everything that is wrong.
    pub async fn calm(&self) {
        self.over.store(true, Ordering::SeqCst);
        // What has begun ends by itself within its time.
        NodeRuntime::sleep(Duration::from_secs(6)).await;
        self.cluster.wires.mend();
        self.cluster.wires.end_lag();
        self.cluster.wires.set_weather(Weather::CALM);
        self.finish_upgrade().await;
        for computer in self.cluster.computers() {
            computer.disk.arm(None);
            computer.disk.arm_keys(None);
            computer.disk.make_good();
            let halted =
                computer.disk.is_halted() || computer.floor.as_ref().is_some_and(FloorDisk::is_halted);
            computer.floor.iter().for_each(FloorDisk::mend);
            lock(&computer.clock).set_right(global_nanos());
            // A node that stopped itself is restarted by its supervisor.
            let stopped = computer.node().is_some_and(|(_, member)| member.status().stopped.is_some());
            if stopped || halted {
                self.cluster.kill(&computer);
            }
            self.cluster.start(&computer).await;
        }
        // Nodes that were to come or go do so now that nothing is in their way, and every other fault ends too.
        for _ in 0..MOVE_MS_MAX / 100 {
            if lock(&self.under_way).is_empty() {
                // Of those that came meanwhile some are older.
                return self.finish_upgrade().await;
            }
            self.wait_ms(100, 100).await;
        }
        let waits = format!("{:?} (waiting: {:?})", lock(&self.under_way), lock(&self.waits_for));
        let states: Vec<String> = self.cluster.computers().iter().map(state_of).collect();
        let why = format!("{waits} didn't end in {MOVE_MS_MAX} ms without faults: {}", states.join("; "));
        self.cluster.history.accuse("liveness", why);
    }

    /// Asks clients to change something, and waits until they have begun; says what, if they have.
    async fn have_changed(&self) -> Option<Change> {
        let alone = self.cluster.neighbours().is_empty();
        let mut changes = Change::WISHED.to_vec();
        changes.retain(|change| *change != Change::CircleKey || !alone);
        let change = self.dice.pick(&changes).copied()?;
        let midst = self.cluster.history.midst();
        midst.wish(change);
        for _ in 0..BEGINS_MS_MAX / 10 {
            if midst.is_under_way(change) {
                return Some(change);
            }
            self.wait_ms(10, 10).await;
        }
        None
    }

    /// A crash at a moment in which something is written, mostly in the midst of a change.
    async fn crash_writing(&self, victim: Arc<Computer>) {
        let victim = if self.dice.percent(40) { self.cluster.leader().unwrap_or(victim) } else { victim };
        let change = if self.dice.percent(70) { self.have_changed().await } else { None };
        self.catch_writing(&victim, change).await;
        self.crash(victim).await;
    }

    async fn crash(&self, victim: Arc<Computer>) {
        self.note(Fault::Crash, format!("crash of {}", victim.id));
        self.cluster.kill(&victim);
        // Some are down for longer than a master key waits for them.
        let most_ms = if self.dice.percent(15) { 9_000 } else { 3_000 };
        self.wait_ms(20, most_ms).await;
        self.cluster.start(&victim).await;
    }

    /// Waits for a moment in which two writes aren't synced, so that a crash may keep the one and lose the other, and in which
    /// this is being changed, for a second at most.
    async fn catch_writing(&self, victim: &Computer, change: Option<Change>) {
        let midst = self.cluster.history.midst();
        let slow = (20_000, 40_000);
        victim.disk.set(|habits| (habits.sync_us_min, habits.sync_us_max) = slow);
        for _ in 0..200 {
            if victim.disk.behind() > 1 && change.is_none_or(|change| midst.is_under_way(change)) {
                break;
            }
            self.wait_ms(5, 5).await;
        }
        let usual = Habits::default();
        victim.disk.set(|habits| {
            // Unless something else slows it meanwhile.
            if (habits.sync_us_min, habits.sync_us_max) == slow {
                (habits.sync_us_min, habits.sync_us_max) = (usual.sync_us_min, usual.sync_us_max);
            }
        });
    }

    async fn bounce_leader(&self) {
        let Some(leader) = self.cluster.leader() else { return };
        self.note(Fault::LeaderBounced, format!("leader {} dies and comes back at once", leader.id));
        self.cluster.kill(&leader);
        self.wait_ms(1, 150).await;
        self.cluster.start(&leader).await;
    }

    async fn power_cut(&self) {
        self.note(Fault::PowerCut, "power cut of all".to_owned());
        let computers = self.cluster.computers();
        for computer in &computers {
            self.cluster.kill(computer);
        }
        for computer in &computers {
            self.wait_ms(5, 200).await;
            self.cluster.start(computer).await;
        }
    }

    /// Stops a process, or suspends its machine, so that its monotonic clock stands too.
    async fn pause(&self, victim: Arc<Computer>, suspended: bool) {
        let fault = if suspended { Fault::Suspension } else { Fault::Pause };
        let victim = if self.dice.percent(40) { self.cluster.leader().unwrap_or(victim) } else { victim };
        let Some((scope, _)) = victim.node() else { return };
        self.note(fault, format!("{} of {}", fault.name(), victim.id));
        scope.freeze();
        if suspended {
            lock(&victim.clock).suspend(global_nanos());
        }
        self.wait_ms(50, 4_500).await;
        if suspended {
            lock(&victim.clock).resume(global_nanos());
        }
        scope.thaw();
        self.say(format!("{} goes on", victim.id));
    }

    async fn hand_over(&self, to: Arc<Computer>) {
        let Some(leader) = self.cluster.leader() else { return };
        let id = to.id;
        if leader.id == id {
            return;
        }
        self.say(format!("{} is to hand over to {id}", leader.id));
        let _ = ask(&leader, move |member| async move { member.transfer(id).await.is_ok() }).await;
        // Whether it succeeds is seen by who leads.
        for _ in 0..20 {
            if self.cluster.leader().is_some_and(|now| now.id == id) {
                return self.note(Fault::Transfer, format!("{} has handed over to {id}", leader.id));
            }
            self.wait_ms(50, 50).await;
        }
    }

    /// A node is down until what it lacks is in the log of no other, for a while at most.
    async fn leave_behind(&self, victim: Arc<Computer>) {
        if victim.node().is_none() {
            return;
        }
        self.note(Fault::Crash, format!("{} is left behind", victim.id));
        self.cluster.kill(&victim);
        self.wait_ms(8_000, 14_000).await;
        self.cluster.start(&victim).await;
    }
}

/// A node's condition in a few words.
fn state_of(computer: &Arc<Computer>) -> String {
    let Some((_, member)) = computer.node() else { return format!("{} is down", computer.id) };
    let status = member.status();
    let members: Vec<String> = status
        .members
        .iter()
        .map(|(id, member)| {
            let voice = if member.voter { "" } else { " (no vote)" };
            format!("{id}{voice} matched {:?} set back {}", member.matched, member.set_back)
        })
        .collect();
    format!(
        "{} follows {:?} in term {}, log {:?}, applied {:?}, stopped {:?}, members {members:?}",
        computer.id, status.leader, status.term, status.last_log, status.applied, status.stopped
    )
}
