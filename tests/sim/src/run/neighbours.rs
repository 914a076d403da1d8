//! The other cluster of a run, with clients and faults of its own, and what goes wrong between the two.

use std::sync::Arc;

use circlet_authority::Config;
use openraft_rt::AsyncRuntime;

use super::{Course, Plan, recover, settings};
use crate::chaos::Chaos;
use crate::circle::{self, Strife};
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::history::{Event, History};
use crate::house;
use crate::runtime::NodeRuntime;
use crate::workload::Workload;

/// Its nodes at first.
const NODES: u64 = 3;
/// Its clients wait so long at most between two requests, in milliseconds.
const PAUSE_MS: u64 = 60;

pub(super) struct Neighbours {
    cluster: Arc<Cluster>,
    history: Arc<History>,
    workload: Arc<Workload>,
    chaos: Arc<Chaos>,
    strife: Arc<Strife>,
    /// Little is to happen there.
    is_quiet: bool,
}

impl Neighbours {
    /// Founds it beside `ours`, and has them follow each other.
    pub(super) async fn found(
        plan: Plan,
        ours: &Arc<Cluster>,
        config: &Config,
        dice: &Dice,
    ) -> Result<Self, String> {
        let history = Arc::new(History::new(plan.plant, plan.by, plan.keeps_lines));
        let (settings, faults) = (settings(dice, plan.course), Arc::clone(&ours.faults));
        let cluster = Cluster::new(&house::NEIGHBOURS, Arc::clone(&history), dice, settings, faults);
        cluster.found(NODES, config.clone()).await?;
        circle::pair([ours, &cluster], dice).await?;
        let ms = u64::try_from(config.circle_max_staleness_ms).unwrap_or(0);
        for history in [&ours.history, &history] {
            history.tell(&Event::CircleBound { ms });
        }
        let seeks = plan.course == Course::EachKind;
        Ok(Self {
            workload: Workload::new(Arc::clone(&cluster), dice.split()),
            chaos: Chaos::new(Arc::clone(&cluster), dice.split(), false),
            strife: Strife::between([ours, &cluster], dice.split(), seeks),
            is_quiet: seeks,
            history,
            cluster,
        })
    }

    /// Clients come, and things go wrong.
    pub(super) fn begin(&self) {
        if !self.is_quiet {
            for _ in 0..2 {
                drop(NodeRuntime::spawn(Arc::clone(&self.workload).client(PAUSE_MS)));
            }
            drop(NodeRuntime::spawn(Arc::clone(&self.chaos).rage()));
        }
        drop(NodeRuntime::spawn(Arc::clone(&self.strife).rage()));
    }

    /// Ends everything that is wrong there and in between.
    pub(super) async fn calm(&self) {
        self.strife.end();
        self.chaos.calm().await;
    }

    /// Whether something is broken there; the run's history hears of it.
    pub(super) fn is_broken(&self, ours: &History) -> bool {
        ours.adopt(self.history.violation());
        ours.violation().is_some()
    }

    /// In a while everything must be well there too.
    pub(super) async fn recover(&self, ours: &History) {
        recover(&self.cluster, &self.history).await;
        self.is_broken(ours);
    }

    /// It is over, and judged as a whole.
    pub(super) fn end(&self, ours: &History) {
        self.workload.stop();
        self.cluster.end();
        self.history.finish();
        self.is_broken(ours);
        ours.add_steps(self.history.steps());
        ours.add_lines(self.history.lines());
    }
}
