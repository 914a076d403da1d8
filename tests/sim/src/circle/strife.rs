//! What goes wrong between clusters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openraft_rt::AsyncRuntime;

use super::way::{Host, Way};
use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::fault::{Fault, Faults};
use crate::history::{Event, History};
use crate::runtime::NodeRuntime;

/// Between two faults.
const REST_MS: (u64, u64) = (100, 1_500);
/// How long each lasts.
const LASTS_MS: (u64, u64) = (300, 4_500);
/// Being slow lasts for several questions.
const SLOW_MS: (u64, u64) = (2_000, 9_000);

/// What goes wrong between clusters: on the way of one to another, and nowhere else.
pub struct Strife {
    ways: Vec<Arc<Way>>,
    /// Told what goes wrong.
    history: Arc<History>,
    faults: Arc<Faults>,
    dice: Dice,
    seeks: bool,
    over: AtomicBool,
}

impl Strife {
    /// Between these clusters, told to the history of `ours`. One that `seeks` makes what has not happened yet.
    #[must_use]
    pub fn between(ours: &Cluster, clusters: &[&Arc<Cluster>], dice: Dice, seeks: bool) -> Arc<Self> {
        let neighbours = clusters.iter().flat_map(|cluster| cluster.neighbours());
        Arc::new(Self {
            ways: neighbours.map(|neighbour| neighbour.way).collect(),
            history: Arc::clone(&ours.history),
            faults: Arc::clone(&ours.faults),
            dice,
            seeks,
            over: AtomicBool::new(false),
        })
    }

    /// On each way one thing after the other, until told to stop.
    pub fn rage(self: &Arc<Self>) {
        for way in &self.ways {
            drop(NodeRuntime::spawn(Arc::clone(self).rage_on(Arc::clone(way))));
        }
    }

    async fn rage_on(self: Arc<Self>, way: Arc<Way>) {
        loop {
            self.wait(REST_MS).await;
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let fault = self.next();
            self.faults.count(fault);
            let heading = self.dice.percent(50);
            self.history.tell(&Event::Fault { what: format!("{} ({heading})", fault.name()) });
            way.set(|habits| match fault {
                Fault::FeedCut => (habits.asks_cut, habits.answers_cut) = (true, true),
                Fault::FeedCutOneWay => (habits.asks_cut, habits.answers_cut) = (heading, !heading),
                Fault::FeedLate => habits.delay_us_max = 4_500_000,
                Fault::FeedLost => habits.lost_per_mille = 400,
                Fault::FeedReplayed => habits.host = Host::Replays,
                _ => habits.host = Host::Forges,
            });
            self.wait(if fault == Fault::FeedLate { SLOW_MS } else { LASTS_MS }).await;
            way.end_faults();
        }
    }

    /// Everything goes well from now on.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        for way in &self.ways {
            way.end_faults();
            way.end_theft();
        }
    }

    async fn wait(&self, (low, high): (u64, u64)) {
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(low, high))).await;
    }

    fn next(&self) -> Fault {
        if self.seeks {
            let mut absent = self.faults.absent();
            absent.retain(|fault| Fault::BETWEEN.contains(fault));
            if let Some(fault) = self.dice.pick(&absent) {
                return *fault;
            }
        }
        match self.dice.between(0, 12) {
            0..=1 => Fault::FeedCut,
            2..=3 => Fault::FeedCutOneWay,
            4..=6 => Fault::FeedLate,
            7 => Fault::FeedLost,
            8..=9 => Fault::FeedReplayed,
            _ => Fault::FeedForged,
        }
    }
}
