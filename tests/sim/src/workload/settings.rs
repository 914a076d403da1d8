//! The configuration, changed while everything else goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_authority::{Action, Config, Outcome, Refusal, SetConfig, State};
use openraft_rt::AsyncRuntime;

use super::{Reply, Workload, administrator};
use crate::cluster::{Cluster, Computer};
use crate::house;
use crate::linear::{Object, Step, version};
use crate::midst::{Awaiting, Change};
use crate::runtime::{NodeRuntime, global_nanos};

/// Of a hundred changes of settings, where nodes keep floors, so many are whether they have to.
const SWITCHES_FLOORS_PERCENT: u64 = 20;

/// So many settings are changed in a row.
const MANY_MIN: u64 = 3;
const MANY_MAX: u64 = 8;
/// And so long lies between two of them at most, in milliseconds.
const MANY_PAUSE_MS_MAX: u64 = 120;

impl Workload {
    /// An administrator changes a setting, on top of what was read or whatever is there.
    pub(super) async fn change_settings(&self, computer: &Computer) {
        let Some((_, member)) = computer.node() else { return };
        let view = Arc::clone(&member.published().view);
        drop(member);
        if view.service_id().is_none() {
            // It has just started, and can't say what the settings are.
            return;
        }
        let mut config = view.config().as_ref().clone();
        if self.cluster.keeps_floors() && self.dice.percent(SWITCHES_FLOORS_PERCENT) {
            config.revocation_floor_required = !config.revocation_floor_required;
            self.count(if config.revocation_floor_required {
                "floors required"
            } else {
                "floors not required"
            });
            return self.set(computer, config, Some(view.config_version())).await;
        }
        let between = |low, high| i64::try_from(self.dice.between(low, high)).unwrap_or(1);
        match self.dice.between(0, if self.has_neighbours() { 9 } else { 5 }) {
            // Of a neighbour's feed next to nothing is kept, or again all of it.
            6 if !self.spares.load(Ordering::SeqCst) => config.circle_feed_entries_max = between(0, 12),
            6..=9 => config.circle_feed_entries_max = Config::default().circle_feed_entries_max,
            0 => config.refresh_replay_window = between(30, 60),
            1 => config.key_overlap = between(0, 2),
            2 => config.last_used_interval = between(0, 900),
            4 => config.max_staleness_ms = house::max_staleness_ms(&self.dice),
            3 => config.description_bytes_max = between(100, 1_000),
            // What is recorded from now on, and so how long tokens may live that nobody recorded.
            _ => config.persistent_expiry_threshold = between(2, 9),
        }
        // What stands there already is no change.
        if config == *view.config().as_ref() {
            return;
        }
        let of_quota = config.circle_feed_entries_max != view.config().circle_feed_entries_max;
        // Whoever overlooks a change of others must not switch floors by that.
        let is_careful = of_quota || self.cluster.keeps_floors();
        let if_version = (is_careful || self.dice.percent(70)).then(|| view.config_version());
        self.set(computer, config, if_version).await;
    }

    /// An administrator changes one setting after the other, each through some node.
    pub(super) async fn change_many_settings(&self) {
        let _awaiting = self.begin(Change::Configuration);
        self.count("settings changed in a row");
        for _ in 0..self.dice.between(MANY_MIN, MANY_MAX) {
            let Some(computer) = self.dice.pick(&self.cluster.running()).cloned() else { return };
            self.change_settings(&computer).await;
            NodeRuntime::sleep(Duration::from_millis(self.dice.between(10, MANY_PAUSE_MS_MAX))).await;
        }
    }

    /// From now on all of the neighbours' feeds is kept, whatever was allowed before.
    pub async fn make_room(&self) {
        self.spares.store(true, Ordering::SeqCst);
        let most = Config::default().circle_feed_entries_max;
        // A cluster that takes nothing for so long is broken, which others say.
        for _ in 0..600 {
            NodeRuntime::sleep(Duration::from_millis(100)).await;
            let Some(computer) = self.cluster.leader() else { continue };
            let Some((_, member)) = computer.node() else { continue };
            let view = Arc::clone(&member.published().view);
            drop(member);
            if view.config().circle_feed_entries_max == most {
                return;
            }
            let config = Config { circle_feed_entries_max: most, ..view.config().as_ref().clone() };
            self.set(&computer, config, Some(view.config_version())).await;
        }
    }

    async fn set(&self, computer: &Computer, config: Config, if_version: Option<u64>) {
        let action = Action::SetConfig(Box::new(SetConfig { config, if_version }));
        self.count("setting changed");
        let awaiting = self.begin(Change::Configuration);
        let (expected, sent) = (if_version, global_nanos());
        let step = match self.propose(computer, administrator(), action).await {
            Reply::Decided { outcome: Outcome::Configured { version }, .. } => {
                drop(NodeRuntime::spawn(until_all_have(Arc::clone(&self.cluster), awaiting, move |view| {
                    view.config_version() >= version
                })));
                version::Step::Set { expected, version }
            }
            Reply::Decided { outcome, .. } => match outcome.refusal() {
                Some(Refusal::ConfigInvalid { .. }) => return self.count("floors refused at an older level"),
                Some(Refusal::ConfigChanged { current, .. }) => version::Step::Changed { current: *current },
                _ => return,
            },
            Reply::Unknown => {
                let maybe = Step::Version(version::Step::MaybeSet { expected });
                return self.record(Object::Configuration, maybe, sent, None);
            }
            Reply::NotDone => return,
        };
        self.record_now(Object::Configuration, Step::Version(step), sent);
    }
}

/// A change is over when no node runs that doesn't know it.
pub(super) async fn until_all_have(
    cluster: Arc<Cluster>,
    awaiting: Awaiting,
    knows: impl Fn(&State) -> bool + Send + 'static,
) {
    let has = |computer: &Arc<Computer>| {
        let view = computer.node().map(|(_, member)| Arc::clone(&member.published().view));
        view.is_none_or(|view| knows(&view))
    };
    for _ in 0..100 {
        if cluster.running().iter().all(has) {
            break;
        }
        NodeRuntime::sleep(Duration::from_millis(50)).await;
    }
    drop(awaiting);
}
