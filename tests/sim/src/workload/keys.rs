//! Administrators who turn keys over. That nodes confirm keys, activate them and let them retire, they do by themselves.

use circlet_authority::{Action, KeyState, RotateKey};

use super::Workload;
use crate::cluster::Computer;
use crate::house::Pair;
use crate::scope::lock;

impl Workload {
    /// An administrator publishes a key, gives one up, or finds that one has leaked.
    pub(super) async fn turn_key(&self, computer: &Computer) {
        let Some((_, member)) = computer.node() else { return };
        let view = std::sync::Arc::clone(&member.published().view);
        drop(member);
        let Some(active) = view.active_key().map(|key| key.kid.clone()) else { return };
        let (what, rotate) = match self.dice.between(0, 9) {
            0..=5 => {
                let key = Box::new(self.draw_pair().as_ours());
                let overlap_secs = self.dice.percent(50).then_some(0);
                ("key published", RotateKey::Publish { key, replaces: active, overlap_secs })
            }
            6..=7 => match view.next_key() {
                Some(next) => ("key given up", RotateKey::Cancel { kid: next.kid.clone() }),
                None => return,
            },
            _ => {
                let usable =
                    |state| matches!(state, KeyState::Published | KeyState::Active | KeyState::Retiring);
                let kids: Vec<_> =
                    view.keyring().filter(|key| usable(key.state)).map(|key| key.kid.clone()).collect();
                let kid = self.dice.pick(&kids).cloned().unwrap_or(active);
                let next = Some(Box::new(self.draw_pair().as_ours()));
                ("key tainted", RotateKey::Taint { kid, next })
            }
        };
        let action = Action::RotateKey(Box::new(rotate));
        if self.order_done(computer, what, action, None).await.is_none() {
            self.count("key unchanged");
        }
    }

    /// A pair for our keyring, which may never get there.
    pub(super) fn draw_pair(&self) -> Pair {
        let name = format!("key {}", self.dice.word());
        lock(&self.drawn).push(name.clone());
        Pair::named(&name)
    }
}
