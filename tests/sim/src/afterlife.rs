//! The end of a cluster, and another one that begins from what is left of it: a backup that was made some time before, or
//! what one node holds that was cut off meanwhile. Its clients come again with all that they had.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_authority::State;
use openraft_rt::AsyncRuntime;

use crate::cluster::{Cluster, Computer, ask};
use crate::dice::Dice;
use crate::fault::Fault;
use crate::floor::proof::Against;
use crate::history::History;
use crate::midst::Change;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;
use crate::workload::Workload;

mod floors;
mod given_up;

use floors::Ground;
use given_up::GivenUp;

/// In so many of a hundred clusters with floors the nodes live on while it is restored.
const FENCED_PERCENT: u64 = 40;

/// In so many of a hundred clusters that are recovered from one node the others weren't lost.
const LIVED_ON_PERCENT: u64 = 60;

/// In so many of a hundred of them a key is to be on its way when it happens.
const MIDST_PERCENT: u64 = 50;

/// How a cluster ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it is lost, but for a backup.
    Restored,
    /// All nodes are lost but one.
    Recovered,
}

/// Before another cluster begins, whoever waits for an answer hears that none comes. What they asked for may have been done: others
/// may have seen it, where it waited for a floor.
const SILENCE: Duration = Duration::from_millis(1);

/// The nodes of the cluster that begins.
const NODES: u64 = 3;

/// A backup, if one has been made.
#[derive(Default)]
pub struct Safe(Mutex<Option<Kept>>);

#[derive(Clone)]
struct Kept {
    /// What a backup holds.
    archived: Vec<u8>,
    /// The whole of the state at that moment: no backup holds that, a planted bug might.
    whole: Vec<u8>,
}

impl Safe {
    /// Makes a backup of a view that is fresh, through one node or another.
    pub async fn fill(&self, cluster: &Cluster, dice: &Dice) {
        loop {
            NodeRuntime::sleep(Duration::from_millis(100)).await;
            let Some(computer) = dice.pick(&cluster.running()).cloned() else { continue };
            let fresh = ask(&computer, |member| async move { member.fresh(None).await.ok() });
            let Ok(Some(Some(fresh))) = NodeRuntime::timeout(Duration::from_secs(2), fresh).await else {
                continue;
            };
            *lock(&self.0) = Kept::of(&fresh.view).ok();
            return;
        }
    }
}

impl Kept {
    fn of(state: &State) -> Result<Self, String> {
        Ok(Self { archived: bytes_of(&state.archived())?, whole: bytes_of(state)? })
    }
}

fn bytes_of(state: &State) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// One cluster with its clients.
pub struct Life {
    /// The cluster.
    pub cluster: Arc<Cluster>,
    /// Its clients.
    pub workload: Arc<Workload>,
}

impl Life {
    /// Ends this cluster and begins another from what is left. Nothing comes back if there was no backup.
    ///
    /// # Errors
    /// No other cluster could begin.
    pub async fn end(
        &self,
        end: End,
        safe: &Safe,
        history: &Arc<History>,
        dice: &Dice,
    ) -> Result<Option<Self>, String> {
        let (before, whole, ground, faults, given_up) = match end {
            End::Restored => {
                let Some(kept) = lock(&safe.0).clone() else { return Ok(None) };
                let archived = State::decode_snapshot(&mut kept.archived.as_slice());
                let archived = archived.map_err(|error| error.to_string())?;
                let ground = self.lose_all(&archived, dice).await;
                (archived, kept.whole, ground, [Fault::Restored, Fault::RestoredOnFloor], None)
            }
            End::Recovered => {
                let (computer, left, ground) = self.lose_all_but_one(dice).await?;
                let whole = bytes_of(&left)?;
                let lived_on = dice.percent(LIVED_ON_PERCENT);
                let given_up = lived_on.then(|| GivenUp::of(self, &computer, dice));
                (left, whole, ground, [Fault::Recovered, Fault::RecoveredOnFloor], given_up)
            }
        };
        let [fault, on_floor] = faults;
        // What is under way is what the next one finds under way.
        self.cluster.faults.count_in(fault, &before);
        if ground.is_some() {
            self.cluster.faults.count_in(on_floor, &before);
        }
        let (service, faults) = (&self.cluster.service, Arc::clone(&self.cluster.faults));
        let cluster = Cluster::new(service, Arc::clone(history), dice, self.cluster.settings(), faults);
        if self.cluster.keeps_floors() {
            cluster.keep_floors();
        }
        self.cluster.neighbours().iter().for_each(|neighbour| cluster.meet(neighbour));
        NodeRuntime::sleep(SILENCE).await;
        let (begun, on_floor) = (global_nanos(), ground.is_some());
        let (floor, good) = ground.map(|ground| ground.spend(&self.cluster, &before)).transpose()?.unzip();
        let second = cluster.begin_anew(&before, floor.as_ref(), &whole, NODES).await?;
        let first = cluster.computers().first().map_or(0, |founder| founder.id);
        let workload = self.workload.anew(Arc::clone(&cluster), dice.split(), first);
        workload.show_good(&good.unwrap_or_default(), second).await;
        for _ in 0..2 {
            drop(NodeRuntime::spawn(Arc::clone(&workload).client(60)));
        }
        workload.show_what_was(begun).await;
        let next = Self { cluster, workload };
        if let Some(given_up) = given_up {
            given_up.live_on(&next, on_floor, dice).await;
        }
        NodeRuntime::sleep(Duration::from_secs(2)).await;
        Ok(Some(next))
    }

    fn stop(&self) {
        self.workload.stop();
        self.cluster.end();
    }

    /// All nodes are lost, or cut off from whoever restores; what their floors hold against this backup.
    async fn lose_all(&self, archived: &State, dice: &Dice) -> Option<Ground> {
        if !self.cluster.keeps_floors() {
            self.stop();
            return None;
        }
        let silenced = self.silence_floors(dice).await;
        let last = self.last_view().filter(|_| !silenced);
        let fenced = dice.percent(FENCED_PERCENT);
        if !fenced {
            self.stop_at_once(dice);
        }
        let ground = self.ask_floors(last.as_deref(), Against::Backup(archived), dice);
        if fenced {
            self.cluster.faults.count(Fault::Fenced);
            NodeRuntime::sleep(Duration::from_millis(dice.between(0, 1_500))).await;
            self.stop();
        }
        ground
    }

    /// One node is cut off and lags behind; then it is all that is left, and floors.
    async fn lose_all_but_one(&self, dice: &Dice) -> Result<(Arc<Computer>, State, Option<Ground>), String> {
        if dice.percent(MIDST_PERCENT) {
            let key = if dice.percent(50) { Change::TokenKey } else { Change::MasterKey };
            self.cluster.history.midst().wish(key);
        }
        let silenced = self.cluster.keeps_floors() && self.silence_floors(dice).await;
        let computers = self.cluster.computers();
        let left = dice.pick(&computers).cloned().ok_or("there are no computers")?;
        for other in computers.iter().filter(|other| other.id != left.id) {
            self.cluster.wires.cut(other.id, left.id);
            self.cluster.wires.cut(left.id, other.id);
        }
        NodeRuntime::sleep(Duration::from_millis(dice.between(100, 1_500))).await;
        let last = self.last_view().filter(|_| !silenced);
        for computer in &computers {
            self.cluster.kill(computer);
        }
        self.stop_at_once(dice);
        let state = self.cluster.left_on(&left).await?;
        let asks = self.cluster.keeps_floors();
        let ask = || self.ask_floors(last.as_deref(), Against::Remains(&state), dice);
        let ground = asks.then(ask).flatten();
        Ok((left, state, ground))
    }
}
