//! Nodes that come, go, and are replaced; one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use circlet_raft::NodeId;

use super::Chaos;
use crate::cluster::Computer;
use crate::fault::Fault;
use crate::midst::Change;
use crate::scope::lock;

/// So many nodes of the cluster vote at least.
const VOTERS_MIN: usize = 3;
/// It has so many nodes at most.
const NODES_MAX: usize = 7;
/// Of a hundred that join so many never vote.
const LEARNERS_PERCENT: u64 = 35;

impl Chaos {
    /// Takes the right to change who belongs to the cluster. False if somebody has it.
    pub(super) fn begin_move(&self, what: &'static str) -> bool {
        let begins = !self.moving.swap(true, Ordering::SeqCst);
        if begins {
            *lock(&self.waits_for) = Some(what);
        }
        begins
    }

    /// The same for a node whose disk is lost, or thrown away. It must not be the only one that could tell a node which slept of one that
    /// joined meanwhile: then nobody would let the newcomer in, and an operator would have to help (`SECURITY.md`).
    pub(super) fn begin_loss(&self, victim: &Computer, what: &'static str) -> bool {
        let mut rest = self.cluster.computers();
        rest.retain(|computer| computer.id != victim.id);
        let ids: BTreeSet<NodeId> = rest.iter().map(|computer| computer.id).collect();
        let known: BTreeMap<NodeId, BTreeSet<NodeId>> =
            rest.iter().map(|computer| (computer.id, computer.knows())).collect();
        let knows_all = |one: &BTreeSet<NodeId>| ids.is_subset(one);
        let hears = |id: &NodeId, one: &BTreeSet<NodeId>| {
            known.iter().any(|(other, theirs)| other != id && one.contains(other) && knows_all(theirs))
        };
        known.iter().all(|(id, one)| knows_all(one) || hears(id, one)) && self.begin_move(what)
    }

    pub(super) fn end_move(&self) {
        self.moving.store(false, Ordering::SeqCst);
        *lock(&self.waits_for) = None;
    }

    pub(super) async fn let_join(&self) {
        if self.cluster.computers().len() >= NODES_MAX || !self.begin_move("a join") {
            return;
        }
        let name = format!("extra{}", self.dice.between(0, u64::from(u32::MAX)));
        let votes = !self.dice.percent(LEARNERS_PERCENT);
        if votes {
            self.note(Fault::Join, format!("{name} joins"));
        } else {
            self.note(Fault::LearnerJoins, format!("{name} joins, and never votes"));
        }
        let _awaiting = self.cluster.history.midst().awaiting(Change::Membership);
        let joined = self.cluster.join(&name, 0, votes).await;
        self.cluster.counts(&joined).await;
        self.say(format!("{name} has joined as {}", joined.id));
        self.end_move();
    }

    /// A node is stopped, and started where it has another address, which it tells by itself. One at a time: a node is found by
    /// those whose addresses it knows.
    pub(super) async fn let_move(&self, victim: &Arc<Computer>) {
        if !self.cluster.knows_all(victim) || !self.begin_move("a move") {
            return;
        }
        self.note(Fault::Moved, format!("{} moves", victim.id));
        let _awaiting = self.cluster.history.midst().awaiting(Change::Membership);
        self.cluster.kill(victim);
        victim.move_away();
        self.wait_ms(20, 1_000).await;
        self.cluster.start(victim).await;
        self.cluster.counts(victim).await;
        self.say(format!("{} has moved", victim.id));
        self.end_move();
    }

    /// A node is removed, runs on for a while, and is switched off.
    pub(super) async fn let_leave(&self, victim: Arc<Computer>) {
        let is_needed = victim.votes && self.cluster.voters() <= VOTERS_MIN;
        if is_needed || !self.begin_loss(&victim, "a leave") {
            return;
        }
        self.note(Fault::Leave, format!("{} leaves", victim.id));
        let _awaiting = self.cluster.history.midst().awaiting(Change::Membership);
        self.cluster.remove(&victim).await;
        self.wait_ms(0, 3_000).await;
        self.cluster.discard(&victim);
        self.say(format!("{} has left", victim.id));
        self.end_move();
    }

    /// A computer is lost with its disk; another takes its place.
    pub(super) async fn lose(&self, victim: Arc<Computer>) {
        if self.begin_loss(&victim, "a replacement") {
            self.replace(&victim).await;
            self.end_move();
        }
    }

    /// Has a computer replaced; needs the right to.
    pub(super) async fn replace(&self, victim: &Arc<Computer>) {
        self.note(Fault::Replacement, format!("{} is lost, another takes its place", victim.id));
        let _awaiting = self.cluster.history.midst().awaiting(Change::Membership);
        self.cluster.replace(victim).await;
        self.say(format!("{} has been replaced", victim.id));
    }
}
