//! Administrators who have a neighbour revoke a token of its own, through a node of theirs.

use std::sync::Arc;

use openraft_rt::AsyncRuntime;

use super::{PATIENCE, Workload};
use crate::circle::{self, Ordered};
use crate::cluster::{Cluster, ask};
use crate::linear::token;
use crate::orders::Unjudged;
use crate::runtime::{NodeRuntime, global_nanos};

/// So many of a hundred times somebody looks whether the neighbours are deceived.
const LOOKS_PERCENT: u64 = 8;

impl Workload {
    /// Those on whose way to us whoever answers has stolen our circle key.
    fn deceived(&self) -> Vec<Arc<Cluster>> {
        let is_stolen = |theirs: &Arc<Cluster>| {
            let known = theirs.neighbours().into_iter().find(|known| known.service == self.cluster.service);
            known.is_some_and(|known| known.way.key_of_thief().is_some())
        };
        self.abroad().into_iter().filter(is_stolen).collect()
    }

    /// Whether the neighbours are to be goaded to ask a thief.
    pub(super) fn goads_deceived(&self) -> bool {
        self.has_neighbours() && self.dice.percent(LOOKS_PERCENT) && !self.deceived().is_empty()
    }

    /// An administrator of a neighbour's has a token of ours revoked.
    pub(super) async fn order_revoke(self: &Arc<Self>) {
        let cascade = self.dice.percent(30);
        let found = if cascade { self.some_ancestor() } else { self.some_token() };
        let Some(held) = found.filter(|held| !held.plain) else { return };
        let deceived = self.deceived();
        let from = if deceived.is_empty() { self.abroad() } else { deceived };
        let Some(theirs) = self.dice.pick(&from).cloned() else { return };
        let Some(generation) = theirs.view().map(|view| view.generation()) else { return };
        let us = &self.cluster.service;
        let Some(here) = theirs.neighbours().into_iter().find(|known| known.service == *us) else { return };
        let Some(computer) = self.dice.pick(&theirs.running()).cloned() else { return };
        self.count("revoke forwarded");
        let (record, sent, id) = (&held.record, global_nanos(), held.record.id);
        let (way, known) = (Arc::clone(&here.way), here.way.thefts());
        let asked = ask(&computer, move |member| circle::order(member, here, id, cascade));
        let ordered = NodeRuntime::timeout(PATIENCE, asked).await;
        let excused = known.excuse(way.thefts(), generation);
        if known.has_judged(way.thefts()) {
            self.count(if excused { "verdict of a thief" } else { "verdict of a thief who was found out" });
        }
        match ordered {
            // Whoever says so may be a thief, whether he has passed the order on or not.
            Ok(Some(Ok(_))) if excused => {
                self.count("verdict during a theft");
                self.record_token(record, token::Step::MaybeEnd, sent, false);
            }
            Ok(Some(Ok(Ordered::Revoked { index, seen, ids }))) => {
                self.count("forwarded revoke done");
                if seen {
                    self.record_token(record, token::Step::End, sent, true);
                }
                ids.into_iter().chain([id]).for_each(|id| self.tell_revoked(Some(id), None, index));
                let family = record.family.filter(|_| seen).map(|(family, _)| family);
                self.tell_revoked(None, family, index);
                if cascade {
                    self.tell_ended(index);
                }
                drop(NodeRuntime::spawn(Arc::clone(self).hunt(held.clone())));
                self.hunt_abroad(&held);
            }
            Ok(Some(Ok(Ordered::Not))) => self.count("forwarded revoke refused"),
            // No order was sent: nothing was revoked.
            Ok(Some(Err(Unjudged::Unreachable(_)))) => self.count("forwarded revoke not sent"),
            Ok(Some(Err(Unjudged::Unknown(_))) | None) | Err(_) => {
                self.count("forwarded revoke unknown");
                self.record_token(record, token::Step::MaybeEnd, sent, false);
                if self.believes_unknown() {
                    self.tell_revoked(Some(id), None, u64::MAX);
                }
            }
        }
    }
}
