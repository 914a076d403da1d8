//! What is done with the floors of a cluster that is lost: asked whether they hold everything, they are what the next one begins
//! on.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Picture, State};
use openraft_rt::AsyncRuntime;

use super::Life;
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::disk::{FloorDisk, Spoilt};
use crate::fault::Fault;
use crate::floor;
use crate::floor::proof::{self, Against, Proof};
use crate::history::Event;
use crate::plant::part_of_floors;
use crate::runtime::NodeRuntime;
use crate::workload::Held;

/// How many of a hundred clusters with floors lose one of them before it is needed.
const SPOILT_PERCENT: u64 = 40;
/// How many of a hundred of those lose one that has moved, if one has.
const MOVED_PERCENT: u64 = 70;
/// In how many nothing can be written to floors in the last moments.
const SILENCED_PERCENT: u64 = 40;

/// Floors that were found to be complete.
pub(super) struct Ground {
    picture: Picture,
    proof: Option<Proof>,
    good: Vec<Held>,
}

impl Life {
    /// In its last moments a cluster can write nothing to its floors at times, while clients go on. Whether that is so.
    pub(super) async fn silence_floors(&self, dice: &Dice) -> bool {
        if !dice.percent(SILENCED_PERCENT) {
            return false;
        }
        let full = dice.percent(50);
        for floor in self.floors() {
            floor.set(|habits| {
                habits.full = full;
                (habits.sync_us_min, habits.sync_us_max) = (900_000, 1_800_000);
            });
        }
        self.tell("hardly anything can be written to floors any more");
        NodeRuntime::sleep(Duration::from_millis(dice.between(300, 2_000))).await;
        true
    }

    fn floors(&self) -> Vec<FloorDisk> {
        self.cluster.computers().iter().filter_map(|computer| computer.floor.clone()).collect()
    }

    /// The latest view that a node has.
    pub(super) fn last_view(&self) -> Option<Arc<State>> {
        let nodes = self.cluster.computers().into_iter().filter_map(|computer| computer.node());
        nodes.map(|(_, member)| Arc::clone(&member.published().view)).max_by_key(|view| view.index())
    }

    /// All nodes end, and with them what their floors had not synced.
    pub(super) fn stop_at_once(&self, dice: &Dice) {
        self.stop();
        self.floors().iter().for_each(|floor| floor.crash(dice));
    }

    /// Asks whether the floors hold everything; `None` if they are not taken for complete. `last` is the state that the cluster
    /// had come to, where floors had come as far.
    pub(super) fn ask_floors(
        &self,
        last: Option<&State>,
        against: Against<'_>,
        dice: &Dice,
    ) -> Option<Ground> {
        let floors = self.floors();
        floors.iter().for_each(FloorDisk::mend);
        // Once a run at most, so that of two ends the other may be on floors.
        let again = self.cluster.faults.counts().contains_key(&Fault::FloorSpoilt);
        let may_spoil = dice.percent(SPOILT_PERCENT) && !again;
        let spoilt = may_spoil.then(|| self.spoil_floor(dice)).flatten();
        if let Some(how) = spoilt {
            self.cluster.faults.count(Fault::FloorSpoilt);
            self.tell(&format!("one of the floors is {how:?}"));
        }
        let (Against::Backup(before) | Against::Remains(before)) = against;
        let roots = floor::roots(&self.cluster.computers());
        let (picture, proof) = match proof::prove(&roots, against) {
            Ok(proof) => (Some(proof.picture.clone()), Some(proof)),
            Err(why) => {
                self.tell(&format!("floors are not complete: {why}"));
                (part_of_floors(self.cluster.history.plant(), &roots, before), None)
            }
        };
        let spoilt = spoilt.map(|how| format!("one was {how:?}"));
        self.cluster.history.tell(&Event::FloorsAsked { spoilt, proved: picture.is_some() });
        let good = last.map(|last| self.workload.good_by(last, before)).unwrap_or_default();
        Some(Ground { picture: picture?, proof, good })
    }

    /// Does something to one of the floors.
    fn spoil_floor(&self, dice: &Dice) -> Option<Spoilt> {
        let mut computers = self.cluster.computers();
        computers.retain(|computer| computer.floor.is_some());
        if dice.percent(MOVED_PERCENT) && computers.iter().any(|computer| computer.floor_moves() > 0) {
            computers.retain(|computer| computer.floor_moves() > 0);
        }
        let kinds = [Spoilt::Missing, Spoilt::Damaged, Spoilt::Copied, Spoilt::Away];
        let how = *dice.pick(&kinds)?;
        let floor = dice.pick(&computers)?.floor.clone()?;
        floor.spoil(how, dice).then_some(how)
    }

    fn tell(&self, what: &str) {
        self.cluster.history.tell(&Event::Fault { what: what.to_owned() });
    }
}

impl Ground {
    /// A generation begins on them after this state: no other does. What they hold, and which tokens have to live on.
    pub(super) fn spend(self, of: &Cluster, before: &State) -> Result<(Picture, Vec<Held>), String> {
        if let Some(proof) = self.proof {
            proof.spend().map_err(|error| error.to_string())?;
            let again = proof::prove(&floor::roots(&of.computers()), Against::Remains(before));
            let spoilt = Some("another generation had begun on them".to_owned());
            of.history.tell(&Event::FloorsAsked { spoilt, proved: again.is_ok() });
        }
        Ok((self.picture, self.good))
    }
}
