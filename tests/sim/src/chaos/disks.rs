//! What is done to disks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_raft::Member;
use openraft_rt::AsyncRuntime;

use super::Chaos;
use crate::cluster::Computer;
use crate::fault::Fault;
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;
use crate::wires::Weather;

/// How long the disk of a leader stays bad while it leads on: long enough for a second attempt to hand over.
const LEADS_ON_MS_MAX: u64 = 15_000;

impl Chaos {
    pub(super) async fn slow_disk(&self, victim: Arc<Computer>) {
        // Some are so slow that their node doesn't want to lead.
        let most = if self.dice.percent(30) { (600_000, 3_000_000) } else { (2_000, 120_000) };
        let most = self.dice.between(most.0, most.1);
        self.note(Fault::SlowDisk, format!("syncs of {} take up to {most} us", victim.id));
        victim.disk.set(|habits| habits.sync_us_max = most);
        self.wait_ms(200, 4_000).await;
        victim.disk.set(|habits| habits.sync_us_max = 600);
    }

    /// A disk that fails makes its node stop; it is replaced by a good one with what had been synced.
    pub(super) async fn failing_disk(&self, victim: Arc<Computer>) {
        self.note(Fault::FailingSync, format!("syncs of {} fail", victim.id));
        victim.disk.set(|habits| habits.fails = true);
        self.wait_ms(500, 2_500).await;
        victim.disk.set(|habits| habits.fails = false);
        self.restart(&victim).await;
    }

    /// A disk without room holds up the log until there is some, and the node goes on by itself. At times whoever looks
    /// after it doesn't wait for that.
    pub(super) async fn full_disk(&self, victim: Arc<Computer>) {
        let victim = if self.dice.percent(40) { self.cluster.leader().unwrap_or(victim) } else { victim };
        self.note(Fault::FullDisk, format!("the disk of {} is full", victim.id));
        victim.disk.set(|habits| habits.full = true);
        victim.disk.set(|habits| habits.snapshot_refused = false);
        self.wait_ms(100, 4_500).await;
        if victim.disk.habits().snapshot_refused {
            self.note(Fault::NoRoomForSnapshot, format!("{} found no room for a snapshot", victim.id));
        }
        if self.dice.percent(30) {
            self.cluster.kill(&victim);
        }
        victim.disk.set(|habits| habits.full = false);
        self.cluster.start(&victim).await;
    }

    /// The disk of whoever leads is full or slow, and nothing else is wrong, until another node leads.
    pub(super) async fn bad_disk_of_leader(&self) {
        if self.quiet.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.is_calm().await && self.begin_move("a leader with a bad disk") {
            self.let_a_leader_wait().await;
            self.end_move();
        }
        self.quiet.store(false, Ordering::SeqCst);
    }

    async fn let_a_leader_wait(&self) {
        let Some(reign) = self.reign() else { return };
        let Some(leader) = self.cluster.leader() else { return };
        let Some((_, member)) = leader.node() else { return };
        let voters = member.status().members.values().filter(|member| member.voter).count();
        if self.dice.percent(50) {
            self.have_changed().await;
        }
        if voters < 3 || !self.all_hold(member.published().index).await {
            return;
        }
        let full = self.dice.percent(50);
        let what = if full { "full" } else { "slow" };
        self.note(Fault::LeaderDiskBad, format!("the disk of {}, which leads, is {what}", leader.id));
        leader.disk.set(|habits| {
            if full {
                habits.full = true;
            } else {
                (habits.sync_us_min, habits.sync_us_max) = (900_000, 1_500_000);
            }
        });
        let begun = global_nanos();
        let led_ms = || (global_nanos() - begun) / 1_000_000;
        while !self.has_ended(reign) && led_ms() < LEADS_ON_MS_MAX {
            NodeRuntime::sleep(Duration::from_millis(50)).await;
        }
        leader.disk.make_good();
    }

    async fn restart(&self, victim: &Arc<Computer>) {
        self.cluster.kill(victim);
        self.wait_ms(20, 500).await;
        self.cluster.start(victim).await;
    }

    /// The power goes while a snapshot is written, named, or an old one removed.
    pub(super) async fn cut_snapshot(&self, victim: Arc<Computer>) {
        if victim.node().is_none() {
            return;
        }
        victim.disk.arm(Some(self.dice.between(0, 12)));
        for _ in 0..600 {
            NodeRuntime::sleep(Duration::from_millis(5)).await;
            if victim.disk.is_halted() && !victim.disk.is_halted_at_keys() {
                self.note(Fault::SnapshotCut, format!("{} crashes while it writes a snapshot", victim.id));
                return self.restart(&victim).await;
            }
        }
        victim.disk.arm(None);
    }

    /// The power goes while a key file is written, named or removed: the next time that this happens, for a while.
    pub(super) async fn cut_key_file(&self, victim: Arc<Computer>) {
        victim.disk.arm_keys(Some(self.dice.between(0, 6)));
        if self.comes(|| victim.disk.is_halted_at_keys()).await {
            self.note(Fault::KeyFileCut, format!("{} crashes while it writes a key file", victim.id));
            return self.restart(&victim).await;
        }
        victim.disk.arm_keys(None);
    }

    /// There is no room where the key files are, the next time that one is written; a while later there is. At times whoever
    /// looks after the node starts it again before that.
    pub(super) async fn starve_keys(&self, victim: Arc<Computer>) {
        victim.disk.set(|habits| (habits.full_for_keys, habits.key_refused) = (true, false));
        if self.comes(|| victim.disk.habits().key_refused).await {
            self.note(Fault::NoRoomForKey, format!("{} finds no room for a key file", victim.id));
            self.wait_ms(0, 2_500).await;
            if self.dice.percent(30) {
                self.restart(&victim).await;
            }
        }
        victim.disk.set(|habits| (habits.full_for_keys, habits.key_refused) = (false, false));
    }

    /// Whether something is true within the time in which a master key may be turned over.
    async fn comes(&self, what: impl Fn() -> bool + Send) -> bool {
        for _ in 0..800 {
            NodeRuntime::sleep(Duration::from_millis(10)).await;
            if what() {
                return true;
            }
            if self.over.load(Ordering::SeqCst) {
                return false;
            }
        }
        false
    }

    /// A bit of a log flips. A node that finds it doesn't start, and is replaced.
    pub(super) async fn damage_log(&self, victim: Arc<Computer>) {
        if !self.begin_loss(&victim, "a replacement after damage") {
            return;
        }
        self.cluster.kill(&victim);
        if victim.disk.damage_log(&self.dice) {
            self.note(Fault::LogDamaged, format!("the log of {} is damaged", victim.id));
        }
        self.restart_or_replace(&victim).await;
        self.end_move();
    }

    /// A bit of a snapshot flips while its node runs, and the node finds it when it starts next: the older one and the
    /// log take its place. A node that has but one, because it was sent it, is replaced.
    pub(super) async fn damage_snapshot(&self, victim: Arc<Computer>) {
        if !self.begin_loss(&victim, "a replacement after damage") {
            return;
        }
        if victim.disk.damage_snapshot(&self.dice) {
            self.note(Fault::SnapshotDamaged, format!("a snapshot of {} is damaged", victim.id));
            self.wait_ms(0, 3_000).await;
            self.restart_or_replace(&victim).await;
        }
        self.end_move();
    }

    /// Starts a node on a damaged disk. One that finds the damage doesn't start.
    async fn restart_or_replace(&self, victim: &Arc<Computer>) {
        self.restart(victim).await;
        if victim.node().is_none() {
            self.replace(victim).await;
        }
    }

    /// A disk goes back to an older state, and its node starts from it: its leader notices, as long as it leads, which the
    /// invariant `set-back` says, and the node is replaced. Nothing else is wrong meanwhile: what two nodes forget at once
    /// is lost, as the product says.
    pub(super) async fn set_back(&self, victim: Arc<Computer>) {
        if self.quiet.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.is_calm().await && self.begin_move("a replacement after a set-back") {
            self.set_back_alone(&victim).await;
            self.end_move();
        }
        self.quiet.store(false, Ordering::SeqCst);
    }

    /// Waits until no other fault is under way, and ends what lasts.
    async fn is_calm(&self) -> bool {
        for _ in 0..80 {
            if lock(&self.under_way).len() == 1 {
                self.cluster.wires.mend();
                self.cluster.wires.set_weather(Weather::CALM);
                self.cluster.computers().iter().for_each(|one| lock(&one.clock).set_right(global_nanos()));
                let mut wrong = lock(&self.wrong_clock);
                if wrong.1.is_none() {
                    wrong.1 = Some(global_nanos());
                }
                return true;
            }
            self.wait_ms(100, 100).await;
        }
        false
    }

    async fn set_back_alone(&self, victim: &Arc<Computer>) {
        let image = victim.disk.image();
        // The image may hold a little less.
        let kept = victim.node().and_then(|(_, member)| member.status().last_log).unwrap_or(0);
        self.wait_ms(500, 2_500).await;
        if self.dice.percent(50) {
            self.have_changed().await;
        }
        let reign = self.reign();
        let (Some(reign), Some((_, member))) = (reign, victim.node()) else { return };
        if reign.0 == victim.id || !self.all_hold(member.published().index).await {
            return;
        }
        let held = member.published().index;
        drop(member);
        if !self.all_hold(held).await {
            return;
        }
        let acknowledged = self.known_to_leader(victim).and_then(|known| known.matched).unwrap_or(0);
        self.cluster.kill(victim);
        victim.disk.set_back(&image);
        self.cluster.history.tell(&Event::SetBack { node: victim.id });
        victim.disk.set(|habits| habits.hurt = true);
        self.note(Fault::DiskSetBack, format!("the disk of {} goes back to an older state", victim.id));
        self.cluster.start(victim).await;
        NodeRuntime::sleep(Duration::from_secs(3)).await;
        if self.reign() == Some(reign) {
            let refused = self.known_to_leader(victim).is_some_and(|known| known.set_back);
            let (node, by) = (victim.id, reign.0);
            self.cluster.history.tell(&Event::CameBack { node, kept, acknowledged, by, refused });
        }
        self.replace(victim).await;
    }

    /// What the leader knows of a node.
    fn known_to_leader(&self, of: &Computer) -> Option<Member> {
        let (_, member) = self.cluster.leader()?.node()?;
        member.status().members.remove(&of.id)
    }

    /// Who leads, and in which term.
    fn reign(&self) -> Option<(u64, u64)> {
        let leader = self.cluster.leader()?;
        let (_, member) = leader.node()?;
        Some((leader.id, member.status().term))
    }

    /// Whether another leads in a later term. The one who led may not have it on its disk yet, and say nothing of it.
    fn has_ended(&self, (leader, term): (u64, u64)) -> bool {
        self.cluster.running().iter().filter_map(|computer| computer.node()).any(|(_, member)| {
            let status = member.status();
            status.term > term && status.leader.is_some_and(|other| other != leader)
        })
    }

    /// Waits until every node holds an index; false if that takes long.
    async fn all_hold(&self, index: u64) -> bool {
        for _ in 0..40 {
            let holds = |computer: &Arc<Computer>| {
                computer.node().is_some_and(|(_, member)| member.published().index >= index)
            };
            if self.cluster.computers().iter().all(holds) {
                return true;
            }
            NodeRuntime::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}
