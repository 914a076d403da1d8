//! Nodes that a recovery gave up, and that weren't lost at all: they come back and go on as if nothing had happened, until the
//! node that was recovered reaches them.

use std::sync::Arc;
use std::time::Duration;

use openraft_rt::AsyncRuntime;

use super::Life;
use crate::cluster::{Cluster, Computer, Former, is_given_up};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::history::{Event, History};
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::wires::Weather;
use crate::workload::Workload;

/// Each of them comes back within so long, in milliseconds.
const BACK_MS_MAX: u64 = 3_000;
/// Whoever tells them begins within so long.
const UNTOLD_MS_MAX: u64 = 2_500;
/// Of a hundred of them so many can't be reached at first, and then can.
const CUT_PERCENT: u64 = 30;
/// Of a hundred of them so many find no room at first for a note that they were given up.
const FULL_PERCENT: u64 = 25;
/// And of so many the power goes while that, or something else beside the log, is written.
const CUT_NOTE_PERCENT: u64 = 25;
/// In so many of a hundred runs connections to them break.
const ROUGH_PERCENT: u64 = 30;
/// In so many of a hundred whoever tells them is killed meanwhile.
const BOUNCED_PERCENT: u64 = 50;
/// They must have been told after so long.
const TOLD_MS_MAX: u64 = 60_000;
/// What can be seen of a node that starts is seen after so long.
const STARTS: Duration = Duration::from_secs(1);

/// They, with clients of their own.
pub(super) struct GivenUp {
    cluster: Arc<Cluster>,
    workload: Arc<Workload>,
    left: Arc<Computer>,
}

impl GivenUp {
    /// Those that are lost where this one is left.
    pub(super) fn of(life: &Life, left: &Arc<Computer>, dice: &Dice) -> Self {
        let history = Arc::new(History::of_given_up(&life.cluster.history));
        let cluster = life.cluster.without(left, &history);
        let workload = life.workload.beside(Arc::clone(&cluster), dice.split());
        Self { cluster, workload, left: Arc::clone(left) }
    }

    /// They live on beside the next generation, until they are told. Then none of them is ever there again. What they issue
    /// meanwhile may live on floors for a while: their keys do.
    pub(super) async fn live_on(self, next: &Life, on_floor: bool, dice: &Dice) {
        let (ours, theirs) = (&next.cluster.history, &self.cluster.history);
        if on_floor && ours.plant() != Plant::PartOfFloors {
            theirs.tell(&Event::FloorsTaken);
        }
        let told = self.until_told(next, dice).await;
        self.workload.stop();
        if !on_floor {
            next.workload.show_since(&self.workload).await;
        }
        self.start_again().await;
        self.cluster.end();
        ours.add_steps(theirs.steps());
        ours.adopt(theirs.violation());
        if let Err(why) = told {
            ours.accuse("liveness", why);
        }
    }

    async fn until_told(&self, next: &Life, dice: &Dice) -> Result<(), String> {
        let rough = dice.percent(ROUGH_PERCENT);
        let cut = self.come_back(rough, dice);
        NodeRuntime::sleep(Duration::from_millis(dice.between(0, UNTOLD_MS_MAX))).await;
        let teller = next.cluster.computers().into_iter().next().ok_or("nobody can tell them")?;
        let generation = next.cluster.view().map_or(0, |view| view.generation());
        let former = Former::of(&self.left, &self.cluster, (teller.id, generation));
        next.cluster.tells(&former);
        if dice.percent(BOUNCED_PERCENT) {
            NodeRuntime::sleep(Duration::from_millis(dice.between(0, BACK_MS_MAX))).await;
            next.cluster.kill(&teller);
            next.cluster.start(&teller).await;
        }
        let deadline = global_nanos() + TOLD_MS_MAX * 1_000_000;
        while let Some(computer) = self.untold().filter(|_| self.cluster.history.violation().is_none()) {
            if global_nanos() > deadline {
                return Err(format!(
                    "node {} was given up, and doesn't stop in {TOLD_MS_MAX} ms",
                    computer.id
                ));
            }
            if computer.disk.is_halted_at_keys() {
                self.cluster.kill(&computer);
                self.cluster.start(&computer).await;
            }
            NodeRuntime::sleep(Duration::from_millis(50)).await;
        }
        // An answer that was lost with its connection, or its node, never comes again.
        while !(rough || cut || former.all_know()) {
            if global_nanos() > deadline {
                return Err("all that were given up know it, and one of them is told still".to_owned());
            }
            NodeRuntime::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// They come back one after another, some of them where nobody reaches them yet. Whether one of them may lose power.
    fn come_back(&self, rough: bool, dice: &Dice) -> bool {
        let mut any_cut = false;
        let wires = &self.cluster.wires;
        if rough {
            let breaks_per_myriad = dice.between(500, 3_000);
            wires.set_weather(Weather { breaks_per_myriad, ..Weather::CALM });
        }
        for computer in self.cluster.computers() {
            if dice.percent(CUT_PERCENT) {
                wires.cut(self.left.id, computer.id);
            }
            let (cluster, after_ms) = (Arc::clone(&self.cluster), dice.between(0, BACK_MS_MAX));
            // What it is told can't be written down at first, or the power goes meanwhile.
            let (full, cut) = (dice.percent(FULL_PERCENT), dice.percent(CUT_NOTE_PERCENT));
            any_cut |= cut;
            computer.disk.set(|habits| habits.full_for_keys = full);
            computer.disk.arm_keys(cut.then(|| dice.between(0, 3)));
            drop(NodeRuntime::spawn(async move {
                NodeRuntime::sleep(Duration::from_millis(after_ms)).await;
                cluster.faults.count(Fault::LivedOn);
                let what = format!("{} is back, and was given up", computer.id);
                cluster.history.tell(&Event::Fault { what });
                cluster.start(&computer).await;
            }));
        }
        for _ in 0..2 {
            drop(NodeRuntime::spawn(Arc::clone(&self.workload).client(60)));
        }
        let (cluster, after_ms) = (Arc::clone(&self.cluster), dice.between(500, 2 * BACK_MS_MAX));
        drop(NodeRuntime::spawn(async move {
            NodeRuntime::sleep(Duration::from_millis(after_ms)).await;
            cluster.wires.mend();
            for computer in cluster.computers() {
                computer.disk.set(|habits| habits.full_for_keys = false);
            }
        }));
        any_cut
    }

    /// One that hasn't written down yet that it was given up, or that runs.
    fn untold(&self) -> Option<Arc<Computer>> {
        let mut computers = self.cluster.computers().into_iter();
        computers.find(|computer| !is_given_up(&computer.disk) || computer.node().is_some())
    }

    /// Somebody starts all of them once more.
    async fn start_again(&self) {
        for computer in self.cluster.computers() {
            self.cluster.kill(&computer);
            self.cluster.start(&computer).await;
        }
        NodeRuntime::sleep(STARTS).await;
    }
}
