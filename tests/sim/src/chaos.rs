//! What is done to the cluster, at random: crashes, cuts, storms, pauses, wrong clocks, bad disks, nodes that come and go.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_raft::NodeId;
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, ask};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;
use crate::wires::Weather;

mod clocks;
mod disks;
mod members;
mod network;

/// How long a change of the members may take once nothing is wrong any more.
const MOVE_MS_MAX: u64 = 40_000;

/// All faults of one run.
pub struct Chaos {
    cluster: Arc<Cluster>,
    dice: Dice,
    over: AtomicBool,
    /// Faults under way.
    under_way: AtomicU64,
    /// One fault wants to be alone.
    quiet: AtomicBool,
    /// Nodes come or go: one change at a time.
    moving: AtomicBool,
    /// What began last that changes who belongs to the cluster.
    waits_for: Mutex<Option<&'static str>>,
    /// Whose wall clock is or was wrong, and since when it is right again.
    wrong_clock: Mutex<(Option<NodeId>, Option<u64>)>,
}

impl Chaos {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, dice: Dice) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            dice,
            over: AtomicBool::new(false),
            under_way: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            moving: AtomicBool::new(false),
            waits_for: Mutex::default(),
            wrong_clock: Mutex::default(),
        })
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
            self.wait_ms(50, 900).await;
            if self.quiet.load(Ordering::SeqCst) || self.over.load(Ordering::SeqCst) {
                continue;
            }
            let Some(victim) = self.dice.pick(&self.cluster.computers()).cloned() else { return };
            let (this, what) = (Arc::clone(&self), self.dice.between(0, 99));
            drop(NodeRuntime::spawn(async move {
                this.under_way.fetch_add(1, Ordering::SeqCst);
                this.strike(what, victim).await;
                this.under_way.fetch_sub(1, Ordering::SeqCst);
            }));
        }
    }

    async fn strike(&self, what: u64, victim: Arc<Computer>) {
        match what {
            0..=10 => self.crash(victim).await,
            11..=19 => self.bounce_leader().await,
            20..=38 => self.cut().await,
            39..=43 => self.lag_then_cut(victim).await,
            44..=50 => self.storm().await,
            51..=58 => self.pause(victim, false).await,
            59..=65 => self.pause(victim, true).await,
            66..=69 => self.slow_disk(victim).await,
            70..=71 => self.failing_disk(victim).await,
            72..=73 => self.full_disk(victim).await,
            74..=76 => self.cut_snapshot(victim).await,
            77..=78 => self.damage_log(victim).await,
            79..=80 => self.damage_snapshot(victim).await,
            81 => self.set_back(victim).await,
            82..=86 => self.set_clock(),
            87 => self.drift(&victim),
            88..=91 => self.hand_over(victim).await,
            92..=93 => self.power_cut().await,
            94..=95 => self.let_join().await,
            96..=97 => self.let_leave(victim).await,
            _ => self.lose(victim).await,
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
        for computer in self.cluster.computers() {
            computer.disk.arm(None);
            computer.disk.set(|habits| (habits.fails, habits.full) = (false, false));
            lock(&computer.clock).set_right(global_nanos());
            // A node that stopped itself is restarted by its supervisor.
            let stopped = computer.node().is_some_and(|(_, member)| member.status().stopped.is_some());
            if stopped || computer.disk.is_halted() {
                self.cluster.kill(&computer);
            }
            self.cluster.start(&computer).await;
        }
        // Nodes that were to come or go do so now that nothing is in their way.
        for _ in 0..MOVE_MS_MAX / 100 {
            if !self.moving.load(Ordering::SeqCst) {
                return;
            }
            self.wait_ms(100, 100).await;
        }
        let waits = lock(&self.waits_for).unwrap_or("nothing");
        let states: Vec<String> = self.cluster.computers().iter().map(state_of).collect();
        let why = format!("{waits} didn't end in {MOVE_MS_MAX} ms without faults: {}", states.join("; "));
        self.cluster.history.accuse("liveness", why);
    }

    async fn crash(&self, victim: Arc<Computer>) {
        self.note(Fault::Crash, format!("crash of {}", victim.id));
        self.cluster.kill(&victim);
        self.wait_ms(20, 3_000).await;
        self.cluster.start(&victim).await;
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
        self.note(Fault::Transfer, format!("{} hands over to {}", leader.id, to.id));
        let id = to.id;
        // Whether it succeeds is seen by who leads.
        let _ = ask(&leader, move |member| async move { member.transfer(id).await.is_ok() }).await;
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
