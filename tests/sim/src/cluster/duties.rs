//! What nodes do by themselves: confirm, activate and retire keys, say what they support, and forget what has expired. The
//! product's own lines say what is due; here it is asked for.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Command, Key, NodeRecord, Outcome, RotateKey, SealedKind};
use circlet_raft::{Clocks, MemberError, Peer, Role};
use openraft_rt::AsyncRuntime;

use crate::announced::{self, Movable, Place};
use crate::authority;
use crate::duty::{self, Duty};
use crate::feature_level;
use crate::house::{self, Pair};
use crate::machine::Member;
use crate::plant::Plant;
use crate::round::Round;
use crate::runtime::NodeRuntime;
use crate::scope;

/// How often a node looks what the keys need.
const KEYS_LOOK: Duration = Duration::from_millis(250);
/// How often it looks whether something may be purged: more often than in earnest, where a run would see none.
const PURGE_LOOK: Duration = Duration::from_millis(700);
/// How often a leader marks at most, in milliseconds.
const PURGE_INTERVAL_MS: u64 = 1_000;

/// How often it looks whether the feature level lacks something.
const LEVEL_LOOK: Duration = Duration::from_millis(250);
/// After that could not be done, before the next try.
const LEVEL_RETRY: Duration = Duration::from_secs(2);

async fn decide(member: &Member, action: Action) -> Option<Outcome> {
    let command = Command { actor: Actor::System, action }.encode();
    let committed = member.propose(command).await.ok()?;
    Outcome::decode(&committed.outcome).ok()
}

/// A node's part in the life of keys, as long as it runs. `number` makes the keys that it draws its own.
pub(super) async fn turn_keys(member: Arc<Member>, number: u64) {
    let mut drawn = 0_u32;
    loop {
        NodeRuntime::sleep(KEYS_LOOK).await;
        let Some(scope) = scope::current() else { return };
        let published = member.published();
        let view = &published.view;
        let now_ms = scope.wall_ms().max(view.now_ms());
        let leads = member.status().role == Role::Leader;
        let unseals =
            |key: &&Key| house::unseal(scope.ring(), view, &SealedKind::TokenKey(key.kid.clone())).is_some();
        let due = match duty::unconfirmed(view, scope.node()).filter(unseals) {
            Some(key) => Some(Duty::Step(RotateKey::Confirm { kid: key.kid.clone(), node: scope.node() })),
            None if leads => {
                let due = duty::of_leader(view, now_ms);
                due.filter(|due| !matches!(due, Duty::Renew) || house::has_room_for_key(view))
            }
            None => None,
        };
        let rotate = match (due, view.active_key()) {
            (Some(Duty::Step(rotate)), _) => rotate,
            (Some(Duty::Renew), Some(active)) => {
                let Some(service) = view.service_id() else { continue };
                drawn += 1;
                let Some(master) = house::master_key(scope.ring(), view) else { continue };
                let key = Box::new(Pair::named(service, &format!("key {number} {drawn}")).as_ours(&master));
                RotateKey::Publish { key, replaces: active.kid.clone(), overlap_secs: None }
            }
            _ => continue,
        };
        drop(published);
        // Asked for again until it is so.
        let _ = decide(&member, Action::RotateKey(Box::new(rotate))).await;
    }
}

/// A node's part in raising the feature level, as long as it runs.
pub(super) async fn keep_level(member: Arc<Member>) {
    loop {
        NodeRuntime::sleep(LEVEL_LOOK).await;
        let Some(scope) = scope::current() else { return };
        let leads = member.status().role == Role::Leader;
        let due = feature_level::due(&member.published().view, scope.node(), leads);
        let Some(change) = due else { continue };
        if !matches!(decide(&member, Action::FeatureLevel(change)).await, Some(Outcome::Done)) {
            NodeRuntime::sleep(LEVEL_RETRY).await;
        }
    }
}

/// A node's part in being found, as long as it runs: it tells where it is.
pub(super) fn announce(member: Arc<Member>, at: &Peer) -> impl Future<Output = ()> + Send + use<> {
    let place = Place { peer_address: at.peer_address.clone(), client_url: at.client_url.clone() };
    async move {
        let tells = scope::current().is_some_and(|scope| scope.history().plant() != Plant::Unannounced);
        if tells {
            announced::run(Moving(member), place).await;
        }
    }
}

/// A node that may have moved.
struct Moving(Arc<Member>);

impl Movable for Moving {
    fn recorded(&self) -> Option<NodeRecord> {
        let mut status = self.0.status();
        let own = status.members.remove(&status.id)?;
        Some(authority::record(status.id, &own.peer))
    }

    async fn relocate(&self, record: &NodeRecord) -> Result<(), MemberError> {
        self.0.relocate(record.id, authority::peer(record)).await
    }

    async fn pause(&self, time: Duration) {
        NodeRuntime::sleep(time).await;
    }
}

/// A node's rounds of purging, as long as it runs.
pub(super) async fn purge(member: Arc<Member>) {
    let mut round = Round::default();
    loop {
        NodeRuntime::sleep(PURGE_LOOK).await;
        let Some(scope) = scope::current() else { return };
        assert_ne!(scope.history().plant(), Plant::PanickingTask, "a planted panic");
        let margin_secs = member.published().view.config().purge_margin;
        let margin_ms = u64::try_from(margin_secs).unwrap_or(0) * 1_000;
        let leads = member.status().role == Role::Leader;
        let Some(purge) = round.next(leads, margin_ms, PURGE_INTERVAL_MS, scope.boot_ms()) else { continue };
        if let Some(outcome) = decide(&member, Action::Purge(purge)).await {
            round.decided(&outcome, scope.boot_ms());
        }
    }
}
