//! Administrators who turn keys over. That nodes confirm keys, activate them and let them retire, they do by themselves, and
//! so they do what comes after the announcement of a master key.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{
    Action, KeyOrigin, KeyState, NewKey, ReplaceCa, ReplaceCircleKey, RotateKey, SealedKind, State,
};
use circlet_raft::Clocks;
use circlet_token::feed::{CirclePublicKey, Succession};
use circlet_token::{KeyId, SigningKey};
use openraft_rt::AsyncRuntime;

use super::settings::until_all_have;
use super::{PATIENCE, Workload, administrator};
use crate::circle::Neighbour;
use crate::cluster::{Cluster, Computer, ask};
use crate::history::Event;
use crate::house::{self, Pair};
use crate::mark::{Mark, Target};
use crate::midst::{Awaiting, Change};
use crate::runtime::NodeRuntime;
use crate::scope::{self, lock};
use crate::turnover::{Keeper, keeping};

/// A pair of keys takes so long to make at most.
const MAKING_MS_MAX: u64 = 500;

impl Workload {
    /// An administrator publishes a key, gives one up, or finds that one has leaked.
    pub(super) async fn turn_key(self: &Arc<Self>, computer: &Computer) {
        let Some((scope, member)) = computer.node() else { return };
        let view = Arc::clone(&member.published().view);
        drop(member);
        let Some(master) = house::master_key(scope.ring(), &view) else { return };
        let Some(active) = view.active_key().map(|key| key.kid.clone()) else { return };
        let (what, rotate) = match self.dice.between(0, 9) {
            0..=5 if !house::has_room_for_key(&view) => return,
            0..=5 => {
                let pair = self.draw_pair();
                let mut key = Box::new(pair.as_ours(&master));
                if self.is_heir && self.dice.percent(50) {
                    key.origin = KeyOrigin::Adopted;
                }
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
                let next = Some(Box::new(self.draw_pair().as_ours(&master)));
                ("key tainted", RotateKey::Taint { kid, next })
            }
        };
        let leaked = match &rotate {
            RotateKey::Taint { kid, .. } => Some(kid.clone()),
            _ => None,
        };
        let is_adopted = |key: &NewKey| key.origin == KeyOrigin::Adopted;
        if matches!(&rotate, RotateKey::Publish { key, .. } if is_adopted(key)) {
            lock(&self.adopted).extend(lock(&self.drawn).last().cloned());
        }
        // Making a pair takes its time; it is sealed as the view said before.
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(0, MAKING_MS_MAX))).await;
        let action = Action::RotateKey(Box::new(rotate));
        if self.order_done(computer, what, action, None).await.is_none() {
            self.count("key unchanged");
            return;
        }
        self.goad(Change::TokenKey);
        if let Some(kid) = leaked {
            self.tell_leaked(&kid);
            self.hunt_key(&kid);
            self.hunt_key_abroad(&kid);
            self.cluster.history.tell_abroad(&Event::TaintedAbroad { kid });
        }
    }

    /// A key that leaked is a mark on all that it ever signed, or will sign.
    fn tell_leaked(&self, kid: &KeyId) {
        let (target, index) = (Target::Key(kid.clone()), u64::MAX);
        let mark = Mark { target, index, since: 0, until: u64::MAX };
        self.cluster.history.tell(&Event::Marked(Arc::new(mark)));
    }

    /// An administrator asks a node for another master key, unless one is on its way.
    pub(super) async fn turn_master_key(&self, computer: &Computer) {
        let (disk, dice) = (Arc::clone(&computer.disk), self.dice.clone());
        let announcing = ask(computer, move |member| async move {
            let scope = scope::current()?;
            let view = Arc::clone(&member.fresh(None).await.ok()?.view);
            let replaces = view.master_key_fingerprint()?;
            let now_ms = scope.wall_ms().max(view.now_ms());
            if view.next_master_key().is_some_and(|next| !view.is_master_key_given_up(next, now_ms)) {
                return None;
            }
            let patience_secs = u64::try_from(view.config().verify_max_isolation).unwrap_or(0);
            let keeper = Keeper { member, scope, disk, dice };
            keeping::announce(&keeper, administrator(), replaces, patience_secs).await.ok()
        });
        let announced = matches!(NodeRuntime::timeout(PATIENCE, announcing).await, Ok(Some(Some(_))));
        self.goad(Change::MasterKey);
        self.count(if announced { "master key announced" } else { "master key not announced" });
    }

    /// An administrator has another CA take the place of the present one. Of two at once the first in the log wins.
    pub(super) async fn replace_ca(&self, computer: &Computer) {
        let Some((scope, member)) = computer.node() else { return };
        let view = Arc::clone(&member.published().view);
        drop(member);
        let Some(master) = house::master_key(scope.ring(), &view) else { return };
        let Some(replaces) = view.cluster_ca_certificate().map(<[u8]>::to_vec) else { return };
        let (ca, _) = house::secrets(&self.dice.word().to_string(), &master);
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(0, MAKING_MS_MAX))).await;
        let awaiting = self.begin(Change::Ca);
        let certificate = ca.certificate_der.clone();
        let replace = Action::ReplaceCa(Box::new(ReplaceCa { replaces, ca }));
        if self.order_done(computer, "CA replaced", replace, None).await.is_some() {
            let knows = move |view: &State| view.cluster_ca_certificate() == Some(&certificate);
            drop(NodeRuntime::spawn(until_all_have(Arc::clone(&self.cluster), awaiting, knows)));
        }
    }

    /// An administrator replaces the circle key: the present one names the next.
    pub(super) async fn replace_circle_key(self: &Arc<Self>, computer: &Computer) {
        let Some((scope, member)) = computer.node() else { return };
        let view = Arc::clone(&member.published().view);
        drop(member);
        let Some(master) = house::master_key(scope.ring(), &view) else { return };
        let next = house::seed(&format!("circle key {}", self.dice.word()));
        let Some(public) = CirclePublicKey::of(&SigningKey::from_ed25519_seed(&next)) else { return };
        let named = Some(public).zip(house::unseal(scope.ring(), &view, &SealedKind::CircleKey));
        let succession = named.and_then(|(next, key)| Succession::sign(&key, &self.cluster.service, next));
        let Some(succession) = succession else { return };
        let private_key = master.seal(&SealedKind::CircleKey, &next);
        let replace = Action::ReplaceCircleKey(Box::new(ReplaceCircleKey { succession, private_key }));
        let awaiting = self.begin(Change::CircleKey);
        if self.order_done(computer, "circle key replaced", replace, None).await.is_some() {
            drop(NodeRuntime::spawn(Arc::clone(self).until_followers_believe(public, awaiting)));
        }
    }

    /// The turn of a circle key is over when those who follow us believe the next one.
    async fn until_followers_believe(self: Arc<Self>, next: CirclePublicKey, awaiting: Awaiting) {
        let service = &self.cluster.service;
        let believed = |theirs: Arc<Cluster>| {
            let key = theirs.view()?.member(service)?.circle_key()?;
            Some(key == next)
        };
        for _ in 0..100 {
            NodeRuntime::sleep(Duration::from_millis(100)).await;
            let neighbours = self.cluster.neighbours();
            if neighbours.iter().filter_map(Neighbour::cluster).all(|theirs| believed(theirs).unwrap_or(true))
            {
                break;
            }
        }
        drop(awaiting);
    }

    /// A pair for our keyring, which may never get there.
    pub(super) fn draw_pair(&self) -> Pair {
        let name = format!("key {}", self.dice.word());
        lock(&self.drawn).push(name.clone());
        Pair::named(&self.cluster.service, &name)
    }
}
