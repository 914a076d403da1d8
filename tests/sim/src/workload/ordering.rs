//! Administrators who have a neighbour revoke a token of its own, through a node of theirs.

use std::sync::Arc;

use openraft_rt::AsyncRuntime;

use super::{PATIENCE, Workload};
use crate::circle::{self, Ordered};
use crate::cluster::ask;
use crate::linear::token;
use crate::orders::Unjudged;
use crate::runtime::{NodeRuntime, global_nanos};

impl Workload {
    /// An administrator of a neighbour's has a token of ours revoked.
    pub(super) async fn order_revoke(self: &Arc<Self>) {
        let cascade = self.dice.percent(30);
        let found = if cascade { self.some_ancestor() } else { self.some_token() };
        let Some(held) = found.filter(|held| !held.plain) else { return };
        let Some(theirs) = self.dice.pick(&self.abroad()).cloned() else { return };
        let us = &self.cluster.service;
        let Some(here) = theirs.neighbours().into_iter().find(|known| known.service == *us) else { return };
        let Some(computer) = self.dice.pick(&theirs.running()).cloned() else { return };
        self.count("revoke forwarded");
        let (record, sent, id) = (&held.record, global_nanos(), held.record.id);
        let asked = ask(&computer, move |member| circle::order(member, here, id, cascade));
        match NodeRuntime::timeout(PATIENCE, asked).await {
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
