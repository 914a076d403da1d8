//! The configuration, changed while everything else goes on.

use circlet_authority::{Action, Outcome, Refusal, SetConfig};

use super::{Reply, Workload, administrator};
use crate::cluster::Computer;
use crate::linear::{Object, Step, version};
use crate::runtime::global_nanos;

impl Workload {
    /// An administrator changes a setting, on top of what was read or whatever is there.
    pub(super) async fn change_settings(&self, computer: &Computer) {
        let Some((_, member)) = computer.node() else { return };
        let view = std::sync::Arc::clone(&member.published().view);
        drop(member);
        let mut config = view.config().as_ref().clone();
        let between = |low, high| i64::try_from(self.dice.between(low, high)).unwrap_or(1);
        match self.dice.between(0, 4) {
            0 => config.refresh_replay_window = between(30, 60),
            1 => config.key_overlap = between(0, 2),
            2 => config.last_used_interval = between(0, 900),
            3 => config.description_bytes_max = between(100, 1_000),
            // What is recorded from now on, and so how long tokens may live that nobody recorded.
            _ => config.persistent_expiry_threshold = between(2, 9),
        }
        let if_version = self.dice.percent(70).then(|| view.config_version());
        let action = Action::SetConfig(Box::new(SetConfig { config, if_version }));
        self.count("setting changed");
        let (expected, sent) = (if_version, global_nanos());
        let step = match self.propose(computer, administrator(), action).await {
            Reply::Decided { outcome: Outcome::Configured { version }, .. } => {
                version::Step::Set { expected, version }
            }
            Reply::Decided { outcome, .. } => match outcome.refusal() {
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
