//! What is done to the storages of floors, beside everything else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft_rt::AsyncRuntime;

use super::Chaos;
use crate::cluster::Computer;
use crate::disk::{FloorDisk, Habits};
use crate::fault::Fault;
use crate::runtime::NodeRuntime;

impl Chaos {
    /// Does one thing after the other to floors, until told to stop.
    pub async fn rage_at_floors(self: Arc<Self>) {
        while !self.over.load(Ordering::SeqCst) {
            self.wait_ms(100, if self.seeks { 500 } else { 2_500 }).await;
            if self.quiet.load(Ordering::SeqCst) || self.over.load(Ordering::SeqCst) {
                continue;
            }
            let Some(victim) = self.dice.pick(&self.cluster.computers()).cloned() else { return };
            let Some(floor) = victim.floor.clone() else { continue };
            match self.dice.between(0, 11) {
                9..=11 => self.move_floor(&victim).await,
                0..=3 => self.spoil_floor(&victim, &floor).await,
                4..=5 => self.slow_floor(&victim, &floor).await,
                6..=7 => self.take_floor_away(&victim, &floor).await,
                _ => self.cut_floor(&victim, &floor).await,
            }
        }
    }

    async fn spoil_floor(&self, victim: &Computer, floor: &FloorDisk) {
        let full = self.dice.percent(50);
        let why = if full { "is full" } else { "syncs nothing" };
        self.note(Fault::FloorUnwritable, format!("the storage of the floor of {} {why}", victim.id));
        floor.set(|habits| (habits.full, habits.fails) = (full, !full));
        self.wait_ms(100, 3_000).await;
        floor.set(|habits| (habits.full, habits.fails) = (false, false));
    }

    async fn slow_floor(&self, victim: &Computer, floor: &FloorDisk) {
        let most = self.dice.between(5_000, 900_000);
        self.note(Fault::FloorSlow, format!("syncs of the floor of {} take up to {most} us", victim.id));
        floor.set(|habits| habits.sync_us_max = most);
        self.wait_ms(200, 3_000).await;
        floor.set(|habits| habits.sync_us_max = Habits::default().sync_us_max);
    }

    async fn take_floor_away(&self, victim: &Computer, floor: &FloorDisk) {
        self.note(Fault::FloorAway, format!("the storage of the floor of {} is out of reach", victim.id));
        floor.set_away(true);
        self.wait_ms(100, 3_000).await;
        floor.set_away(false);
    }

    /// A node is started with another directory for its floor.
    async fn move_floor(&self, victim: &Arc<Computer>) {
        self.note(Fault::FloorMoved, format!("the floor of {} moves", victim.id));
        self.cluster.kill(victim);
        victim.move_floor();
        self.wait_ms(20, 500).await;
        self.cluster.start(victim).await;
    }

    /// The power goes while a floor is written, or another one put in its place.
    async fn cut_floor(&self, victim: &Arc<Computer>, floor: &FloorDisk) {
        floor.arm(Some(self.dice.between(0, 6)));
        for _ in 0..200 {
            NodeRuntime::sleep(Duration::from_millis(10)).await;
            if floor.is_halted() {
                self.note(Fault::FloorCut, format!("{} crashes while it writes its floor", victim.id));
                self.cluster.kill(victim);
                self.wait_ms(20, 500).await;
                return self.cluster.start(victim).await;
            }
        }
        floor.arm(None);
    }
}
