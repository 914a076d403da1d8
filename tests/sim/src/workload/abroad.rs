//! Tokens that travel: shown to the nodes of the clusters that are in a circle with ours.

use std::sync::Arc;
use std::time::Duration;

use circlet_token::{KeyId, Reject};
use openraft_rt::AsyncRuntime;

use super::verifying::{Verdict, judged};
use super::{Held, PATIENCE, Workload};
use crate::circle::Neighbour;
use crate::cluster::{Cluster, Computer, ask};
use crate::history::Event;
use crate::mark::{Facts, Mark};
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

/// So many tokens of a cluster that began anew are shown abroad, the latest first.
const TOKENS_SHOWN: usize = 60;

/// After a revoke its token is shown abroad again this much later than the bound, in milliseconds: until an answer has
/// arrived that had been under way for as long as it may.
const LATER_MS: [u64; 6] = [3, 150, 600, 1_200, 2_400, 3_600];

impl Workload {
    pub(super) fn abroad(&self) -> Vec<Arc<Cluster>> {
        self.cluster.neighbours().iter().filter_map(Neighbour::cluster).collect()
    }

    /// Whether it is in a circle.
    pub(super) fn has_neighbours(&self) -> bool {
        !self.cluster.neighbours().is_empty()
    }

    /// Shows one of the neighbours' nodes some token of ours.
    pub(super) async fn show_abroad(&self) {
        if let Some(held) = self.some_token() {
            self.show_one_abroad(&held).await;
        }
    }

    /// Shows one of the neighbours' nodes a token of ours.
    pub(super) async fn show_one_abroad(&self, held: &Held) {
        let Some(theirs) = self.dice.pick(&self.abroad()).cloned() else { return };
        let Some(computer) = self.dice.pick(&theirs.running()).cloned() else { return };
        self.show_there(&theirs, &computer, held).await;
    }

    /// Shows a token that was ended to every node of the neighbours, several times, from the moment on at which each must
    /// refuse it.
    pub(super) fn hunt_abroad(self: &Arc<Self>, held: &Held) {
        for theirs in self.abroad().into_iter().filter(|_| held.record.revocable) {
            drop(NodeRuntime::spawn(Arc::clone(self).hunt_there(theirs, held.clone())));
        }
    }

    /// The same of some token that this key has signed, which has leaked.
    pub(super) fn hunt_key_abroad(self: &Arc<Self>, kid: &KeyId) {
        if let Some(held) = self.signed_by(kid) {
            self.hunt_abroad(&held);
        }
    }

    /// Shows every node of the neighbours what clients had from the cluster before, once all know the new feed.
    pub async fn show_what_was_abroad(&self) {
        let of_before = |held: &&Held| held.record.index < self.begun;
        let held: Vec<Held> =
            lock(&self.held).iter().rev().filter(of_before).take(TOKENS_SHOWN).cloned().collect();
        for theirs in self.abroad() {
            for computer in theirs.running() {
                for held in &held {
                    self.count("token of before shown abroad");
                    self.show_there(&theirs, &computer, held).await;
                }
            }
        }
    }

    /// Tells those who follow us of a watermark that was acknowledged.
    pub(super) fn tell_mark_abroad(&self, mark: &Arc<Mark>) {
        let (issuer, mark) = (self.cluster.service.clone(), Arc::clone(mark));
        self.cluster.history.tell_abroad(&Event::MarkedAbroad { issuer, mark });
    }

    async fn hunt_there(self: Arc<Self>, theirs: Arc<Cluster>, held: Held) {
        let begun = global_nanos();
        let bound_ms = theirs.view().map_or(0, |view| view.config().circle_max_staleness_ms);
        let bound_ms = u64::try_from(bound_ms).unwrap_or(0);
        for later_ms in LATER_MS {
            let at = begun + (bound_ms + later_ms) * 1_000_000;
            NodeRuntime::sleep(Duration::from_nanos(at.saturating_sub(global_nanos()))).await;
            for computer in theirs.running() {
                let (this, theirs, held) = (Arc::clone(&self), Arc::clone(&theirs), held.clone());
                drop(NodeRuntime::spawn(async move { this.show_there(&theirs, &computer, &held).await }));
            }
        }
    }

    async fn show_there(&self, theirs: &Cluster, computer: &Computer, held: &Held) {
        let (node, sent, text) = (computer.id, global_nanos(), Arc::clone(&held.text));
        let (record, history) = (&held.record, &theirs.history);
        let asked = NodeRuntime::timeout(PATIENCE, ask(computer, move |member| judged(member, text))).await;
        let (view, accepted, unknown) = match asked {
            Ok(Some(Verdict::Accepted { view, grant, age_ms, .. })) => {
                history.tell(&Event::Vouched { node, kid: record.kid.clone(), view, sent, age_ms });
                if let Some(grant) = grant {
                    history.tell(&Event::Granted { node, view, sent, grant: *grant });
                }
                (view, true, false)
            }
            Ok(Some(Verdict::Refused { why, view, .. })) => {
                (view, false, matches!(why, Reject::UnknownKey { .. }))
            }
            Ok(Some(Verdict::Stale) | None) | Err(_) => return self.count("shown abroad, unanswered"),
        };
        self.count(match (accepted, unknown) {
            (true, _) => "shown abroad, accepted",
            (_, true) => "shown abroad, key unknown",
            _ => "shown abroad, refused",
        });
        history.tell(&Event::VerifiedAbroad {
            node,
            id: record.id,
            issuer: self.cluster.service.clone(),
            facts: Arc::new(Facts::of_record(record)),
            kid: record.kid.clone(),
            revocable: record.revocable,
            view,
            sent,
            accepted,
            unknown,
        });
    }
}
