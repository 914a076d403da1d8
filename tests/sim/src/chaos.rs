//! What is done to the cluster, at random: crashes, cuts, storms, pauses, wrong clocks, slow and failing disks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_raft::NodeId;
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, ask};
use crate::dice::Dice;
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;
use crate::wires::Weather;

/// Wall clocks are set off by this at most: ten years.
const JUMP_MS_MAX: u64 = 10 * 365 * 86_400_000;

/// A clock that was wrong is forgotten after this, in nanoseconds.
const REMEMBERED: u64 = 12_000_000_000;

/// All faults of one run.
pub struct Chaos {
    cluster: Arc<Cluster>,
    dice: Dice,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    over: AtomicBool,
    /// Whose wall clock is or was wrong, and since when it is right again.
    wrong_clock: Mutex<(Option<NodeId>, Option<u64>)>,
}

impl Chaos {
    /// Nothing is done yet.
    #[must_use]
    pub fn new(cluster: Arc<Cluster>, dice: Dice) -> Arc<Self> {
        let over = AtomicBool::new(false);
        Arc::new(Self { cluster, dice, counts: Mutex::default(), over, wrong_clock: Mutex::default() })
    }

    /// How often each thing was done.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    fn note(&self, kind: &'static str, what: String) {
        *lock(&self.counts).entry(kind).or_default() += 1;
        self.cluster.history.tell(&Event::Fault { what });
    }

    async fn wait_ms(&self, low: u64, high: u64) {
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(low, high))).await;
    }

    /// Does one thing after the other, several at a time, until told to stop.
    pub async fn rage(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            self.wait_ms(50, 900).await;
            let computers = self.cluster.computers();
            let Some(victim) = self.dice.pick(&computers).cloned() else { return };
            let this = Arc::clone(&self);
            match self.dice.between(0, 99) {
                0..=13 => drop(NodeRuntime::spawn(async move { this.crash(victim).await })),
                14..=23 => drop(NodeRuntime::spawn(async move { this.bounce_leader().await })),
                24..=49 => drop(NodeRuntime::spawn(async move { this.cut().await })),
                50..=54 => drop(NodeRuntime::spawn(async move { this.lag_then_cut(victim).await })),
                55..=59 => drop(NodeRuntime::spawn(async move { this.storm().await })),
                60..=69 => drop(NodeRuntime::spawn(async move { this.pause(victim, false).await })),
                70..=77 => drop(NodeRuntime::spawn(async move { this.pause(victim, true).await })),
                78..=83 => drop(NodeRuntime::spawn(async move { this.slow_disk(victim).await })),
                84..=86 => drop(NodeRuntime::spawn(async move { this.failing_disk(victim).await })),
                87..=92 => self.set_clock(&computers),
                93..=97 => drop(NodeRuntime::spawn(async move { this.hand_over(victim).await })),
                _ => drop(NodeRuntime::spawn(async move { this.power_cut().await })),
            }
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
            computer.disk.set(|habits| habits.fails = false);
            lock(&computer.clock).set_right(global_nanos());
            // A node that stopped itself is restarted by its supervisor.
            let stopped = computer.node().is_some_and(|(_, member)| member.status().stopped.is_some());
            if stopped {
                self.cluster.kill(&computer);
            }
            self.cluster.start(&computer).await;
        }
    }

    async fn crash(&self, victim: Arc<Computer>) {
        self.note("crash", format!("crash of {}", victim.id));
        self.cluster.kill(&victim);
        self.wait_ms(20, 3_000).await;
        self.cluster.start(&victim).await;
    }

    async fn bounce_leader(&self) {
        let Some(leader) = self.cluster.leader() else { return };
        self.note("leader bounced", format!("leader {} dies and comes back at once", leader.id));
        self.cluster.kill(&leader);
        self.wait_ms(1, 150).await;
        self.cluster.start(&leader).await;
    }

    async fn power_cut(&self) {
        self.note("power cut", "power cut of all".to_owned());
        let computers = self.cluster.computers();
        for computer in &computers {
            self.cluster.kill(computer);
        }
        for computer in &computers {
            self.wait_ms(5, 200).await;
            self.cluster.start(computer).await;
        }
    }

    /// Isolates some from the others, one way or both, perhaps with one in between whom both sides reach.
    async fn cut(&self) {
        let ids: Vec<_> = self.cluster.computers().iter().map(|computer| computer.id).collect();
        let leader = self.cluster.leader().map(|leader| leader.id);
        let mut side: Vec<_> = ids.iter().copied().filter(|_| self.dice.percent(40)).collect();
        if self.dice.percent(40) {
            side = leader.into_iter().collect();
        }
        let bridge = self.dice.percent(20).then(|| self.dice.pick(&ids).copied()).flatten();
        let (there, back) = match self.dice.between(0, 4) {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        self.note("cut", format!("cut of {side:?}, out {there}, in {back}, bridge {bridge:?}"));
        for one in &side {
            for other in ids.iter().filter(|other| !side.contains(other)) {
                if bridge == Some(*one) || bridge == Some(*other) {
                    continue;
                }
                if there {
                    self.cluster.wires.cut(*one, *other);
                }
                if back {
                    self.cluster.wires.cut(*other, *one);
                }
            }
        }
        self.wait_ms(100, 5_000).await;
        self.note("mend", "the network is whole".to_owned());
        self.cluster.wires.mend();
    }

    /// What a node hears is almost too late for a while; then it hears nothing more and lives on what it has.
    async fn lag_then_cut(&self, victim: Arc<Computer>) {
        let lag_us = self.dice.between(200_000, 450_000);
        self.note(
            "lag and cut",
            format!("what {} hears comes {lag_us} us late, then it is cut off", victim.id),
        );
        let computers = self.cluster.computers();
        let others = || computers.iter().map(|computer| computer.id).filter(|id| *id != victim.id);
        others().for_each(|other| self.cluster.wires.set_lag(other, victim.id, lag_us));
        self.wait_ms(1_000, 2_000).await;
        for other in others() {
            self.cluster.wires.cut(other, victim.id);
            self.cluster.wires.cut(victim.id, other);
        }
        self.cluster.wires.end_lag();
        self.wait_ms(2_000, 4_000).await;
        self.cluster.wires.mend();
        self.note("mend", "the network is whole".to_owned());
    }

    async fn storm(&self) {
        let weather = Weather {
            delay_us_min: 50,
            delay_us_max: self.dice.between(200, 40_000),
            slow_per_mille: self.dice.between(0, 100),
            slow_us_max: self.dice.between(50_000, 800_000),
            breaks_per_myriad: self.dice.between(0, 150),
        };
        self.note("storm", format!("{weather:?}"));
        self.cluster.wires.set_weather(weather);
        self.wait_ms(200, 4_000).await;
        self.cluster.wires.set_weather(Weather::CALM);
    }

    /// Stops a process, or suspends its machine, so that its monotonic clock stands too.
    async fn pause(&self, victim: Arc<Computer>, suspended: bool) {
        let kind = if suspended { "suspension" } else { "pause" };
        let victim = if self.dice.percent(40) { self.cluster.leader().unwrap_or(victim) } else { victim };
        let Some((scope, _)) = victim.node() else { return };
        self.note(kind, format!("{kind} of {}", victim.id));
        scope.freeze();
        if suspended {
            lock(&victim.clock).suspend(global_nanos());
        }
        self.wait_ms(50, 4_500).await;
        if suspended {
            lock(&victim.clock).resume(global_nanos());
        }
        scope.thaw();
        self.note("resumption", format!("{} goes on", victim.id));
    }

    async fn slow_disk(&self, victim: Arc<Computer>) {
        let most = self.dice.between(2_000, 120_000);
        self.note("slow disk", format!("syncs of {} take up to {most} us", victim.id));
        victim.disk.set(|habits| habits.sync_us_max = most);
        self.wait_ms(200, 4_000).await;
        victim.disk.set(|habits| habits.sync_us_max = 600);
    }

    /// A disk that fails makes its node stop; it is replaced by a good one with what had been synced.
    async fn failing_disk(&self, victim: Arc<Computer>) {
        self.note("failing disk", format!("the disk of {} fails", victim.id));
        victim.disk.set(|habits| habits.fails = true);
        self.wait_ms(500, 2_500).await;
        self.cluster.kill(&victim);
        victim.disk.set(|habits| habits.fails = false);
        self.wait_ms(20, 500).await;
        self.cluster.start(&victim).await;
    }

    /// Sets one wall clock wrong: the promise is about one. Nodes remember for ten seconds what the others showed, so
    /// another clock may go wrong only when this one has been right for longer than that.
    fn set_clock(&self, computers: &[Arc<Computer>]) {
        let now = global_nanos();
        let (wrong, right_since) = *lock(&self.wrong_clock);
        let is_forgotten = right_since.is_some_and(|since| now > since + REMEMBERED);
        let victim = match computers.iter().find(|computer| Some(computer.id) == wrong) {
            Some(wrong) if !is_forgotten => wrong,
            _ => match self.dice.pick(computers) {
                Some(victim) => victim,
                None => return,
            },
        };
        for computer in computers {
            lock(&computer.clock).set_right(now);
        }
        let most = match self.dice.between(0, 3) {
            0 => 0,
            1 => 20_000,
            2 => 3 * 86_400_000,
            _ => JUMP_MS_MAX,
        };
        let size = i64::try_from(self.dice.between(0, most)).unwrap_or(0);
        let by_ms = if self.dice.percent(50) { size } else { -size };
        self.note("clock set", format!("the wall clock of {} is set off by {by_ms} ms", victim.id));
        lock(&victim.clock).jump(by_ms);
        *lock(&self.wrong_clock) = (Some(victim.id), (by_ms == 0).then_some(now));
    }

    async fn hand_over(&self, to: Arc<Computer>) {
        let Some(leader) = self.cluster.leader() else { return };
        self.note("transfer", format!("{} hands over to {}", leader.id, to.id));
        let id = to.id;
        // Whether it succeeds is seen by who leads.
        let _ = ask(&leader, move |member| async move { member.transfer(id).await.is_ok() }).await;
    }
}
