//! The other clusters of a run, with clients and faults of their own, and what goes wrong in between.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::Config;
use futures::future::{join, join_all};
use openraft_rt::AsyncRuntime;

use super::conclusion::conclude;
use super::health::recover;
use super::{Course, Plan, settings};
use crate::afterlife::Life;
use crate::chaos::Chaos;
use crate::circle::{self, Strife};
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::history::{Event, History};
use crate::house;
use crate::runtime::NodeRuntime;
use crate::workload::Workload;

/// Nodes of each of them at first.
const NODES: u64 = 3;
/// Their clients wait so long at most between two requests, in milliseconds.
const PAUSE_MS: u64 = 60;

/// So many of a hundred do that by an invitation.
const INVITED_PERCENT: u64 = 60;
/// A cluster that began anew is paired with again after so long at most.
const APART_MS_MAX: u64 = 5_000;

/// All of them.
pub(super) struct Circle {
    others: Vec<Other>,
    strife: Arc<Strife>,
    /// Little is to happen there.
    is_quiet: bool,
}

/// One of them.
struct Other {
    cluster: Arc<Cluster>,
    history: Arc<History>,
    workload: Arc<Workload>,
    chaos: Arc<Chaos>,
}

impl Other {
    async fn conclude(&self) {
        conclude(&self.cluster, &self.workload, &self.history).await;
    }
}

impl Circle {
    /// Founds so many beside `ours`, and has all follow each other.
    pub(super) async fn found(
        plan: Plan,
        count: usize,
        ours: &Arc<Cluster>,
        config: &Config,
        dice: &Dice,
    ) -> Result<Self, String> {
        let mut others = Vec::new();
        // Theirs is not what is looked at.
        let config = &Config { revocation_floor_required: false, ..config.clone() };
        for (number, service) in (2..).zip(house::NEIGHBOURS.iter().take(count)) {
            let history = Arc::new(super::history(plan).beside(&ours.history, number));
            let (settings, faults) = (settings(dice, plan.course), ours.faults.beside(history.midst()));
            let cluster = Cluster::new(service, Arc::clone(&history), dice, settings, faults);
            let workload = Workload::new(Arc::clone(&cluster), dice.split());
            let chaos = Chaos::new(Arc::clone(&cluster), dice.split(), false);
            others.push(Other { cluster, history, workload, chaos });
        }
        let founded = join_all(others.iter().map(|other| other.cluster.found(NODES, config.clone()))).await;
        for other in &others {
            ours.history.adopt(other.history.violation());
        }
        founded.into_iter().collect::<Result<(), _>>()?;
        let ms = u64::try_from(config.circle_max_staleness_ms).unwrap_or(0);
        for history in others.iter().map(|other| &other.history).chain([&ours.history]) {
            history.tell(&Event::CircleBound { ms });
        }
        let clusters: Vec<&Arc<Cluster>> =
            [ours].into_iter().chain(others.iter().map(|other| &other.cluster)).collect();
        circle::pair(&clusters, dice).await?;
        let seeks = plan.course == Course::EachKind;
        let strife = Strife::between(ours, &clusters, dice.split(), seeks);
        Ok(Self { others, strife, is_quiet: seeks })
    }

    /// Clients come, and things go wrong.
    pub(super) fn begin(&self) {
        for other in self.others.iter().filter(|_| !self.is_quiet) {
            for _ in 0..2 {
                drop(NodeRuntime::spawn(Arc::clone(&other.workload).client(PAUSE_MS)));
            }
            drop(NodeRuntime::spawn(Arc::clone(&other.chaos).rage()));
        }
        self.strife.rage();
    }

    /// Ends everything that is wrong there and in between, and has all of each feed kept.
    pub(super) async fn calm(&self, ours: &Workload) {
        self.strife.end();
        join_all(self.others.iter().map(|other| other.chaos.calm())).await;
        let others = self.others.iter().map(|other| &*other.workload);
        join_all(others.chain([ours]).map(Workload::make_room)).await;
    }

    /// A cluster that began anew is found where the one before was, and knows its members as its backup does. A while later
    /// an administrator of each side pairs with the other anew.
    pub(super) async fn take_back(&self, life: &Life, ours: &History, dice: &Dice) {
        let service = &life.cluster.service;
        for other in &self.others {
            let known = other.cluster.neighbours().into_iter().filter(|known| known.service == *service);
            known.for_each(|known| known.moves_to(&life.cluster));
        }
        NodeRuntime::sleep(Duration::from_millis(dice.between(0, APART_MS_MAX))).await;
        if let Err(why) = circle::make_key(&life.cluster).await {
            return ours.accuse("liveness", format!("without faults: {why}"));
        }
        for other in &self.others {
            // Whoever kept what a guest of before has said comes with that.
            let ways = other.cluster.neighbours().into_iter().filter(|known| known.service == *service);
            ways.for_each(|known| known.repeat_guest());
            if dice.percent(INVITED_PERCENT) && life.workload.pair_invited(&other.cluster.service).await {
                continue;
            }
            let (here, there) = (life.workload.pair(&other.cluster.service), other.workload.pair(service));
            join(here, there).await;
        }
        life.workload.make_room().await;
    }

    /// Whether something is broken there; the run's history hears of it.
    pub(super) fn is_broken(&self, ours: &History) -> bool {
        self.others.iter().for_each(|other| ours.adopt(other.history.violation()));
        ours.violation().is_some()
    }

    /// In a while everything must be well there too.
    pub(super) async fn recover(&self, ours: &History) {
        for other in &self.others {
            recover(&other.cluster, &other.history).await;
            self.is_broken(ours);
        }
    }

    /// It is over, and judged as a whole.
    pub(super) async fn end(&self, ours: &History) {
        if ours.violation().is_none() {
            join_all(self.others.iter().map(Other::conclude)).await;
        }
        for other in &self.others {
            other.workload.stop();
            other.cluster.end();
            other.history.finish();
        }
        self.is_broken(ours);
        self.others.iter().for_each(|other| ours.add_steps(other.history.steps()));
    }
}
