//! Tokens that travel: shown to the nodes of the cluster that is in a circle with ours.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::Action;
use openraft_rt::AsyncRuntime;

use super::verifying::{LATER_MS, Verdict, judged};
use super::{Held, PATIENCE, Workload, administrator, subject_number};
use crate::circle::{Neighbour, as_trusted};
use crate::cluster::{Cluster, Computer, ask, decide};
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};

impl Workload {
    fn abroad(&self) -> Option<Arc<Cluster>> {
        self.cluster.neighbour().and_then(Neighbour::cluster)
    }

    /// Tells the neighbours' history what was acknowledged here.
    pub(super) fn tell_abroad(&self, event: &Event) {
        if let Some(theirs) = self.abroad() {
            theirs.history.tell(event);
        }
    }

    /// Shows one of the neighbours' nodes a token of ours that can be revoked.
    pub(super) async fn show_abroad(&self) {
        let Some(theirs) = self.abroad() else { return };
        let Some(held) = self.some_token().filter(travels) else { return };
        let Some(computer) = self.dice.pick(&theirs.running()).cloned() else { return };
        self.introduce_key(&held, &computer).await;
        self.show_there(&theirs, &computer, &held).await;
    }

    /// Shows a revoked token to every node of the neighbours, several times, from the moment on at which each must
    /// refuse it.
    pub(super) async fn hunt_abroad(self: Arc<Self>, held: Held) {
        let begun = global_nanos();
        let Some(theirs) = self.abroad().filter(|_| travels(&held)) else { return };
        let bound_ms =
            theirs.running().first().and_then(|computer| computer.node()).map_or(0, |(_, member)| {
                u64::try_from(member.published().view.config().circle_max_staleness_ms).unwrap_or(0)
            });
        for later_ms in LATER_MS {
            let at = begun + (bound_ms + later_ms) * 1_000_000;
            NodeRuntime::sleep(Duration::from_nanos(at.saturating_sub(global_nanos()))).await;
            for computer in theirs.running() {
                let (this, theirs, held) = (Arc::clone(&self), Arc::clone(&theirs), held.clone());
                drop(NodeRuntime::spawn(async move { this.show_there(&theirs, &computer, &held).await }));
            }
        }
    }

    /// The neighbours' administrator trusts the key of a token, if they don't know it yet.
    async fn introduce_key(&self, held: &Held, computer: &Computer) {
        let kid = &held.record.kid;
        let knows = computer.node().is_none_or(|(_, member)| member.published().view.trusted(kid).is_some());
        let ours = self.dice.pick(&self.cluster.running()).and_then(|ours| ours.node());
        let key = ours.and_then(|(_, member)| member.published().view.key(kid).cloned());
        if let Some(key) = key.filter(|_| !knows) {
            let trust = Action::TrustIssuer(Box::new(as_trusted(&key, &self.cluster.service)));
            let trusting = decide(computer, administrator(), trust);
            // Tried again with the next token of that key.
            let _ = NodeRuntime::timeout(PATIENCE, trusting).await;
        }
    }

    async fn show_there(&self, theirs: &Cluster, computer: &Computer, held: &Held) {
        let (node, sent, text) = (computer.id, global_nanos(), Arc::clone(&held.text));
        let asked = NodeRuntime::timeout(PATIENCE, ask(computer, move |member| judged(member, text))).await;
        let accepted = match asked {
            Ok(Some(Verdict::Accepted { view, .. })) => {
                theirs.history.tell(&Event::Vouched { node, kid: held.record.kid.clone(), view, sent });
                true
            }
            Ok(Some(Verdict::Refused(_))) => false,
            Ok(Some(Verdict::Stale) | None) | Err(_) => return self.count("shown abroad, unanswered"),
        };
        self.count(if accepted { "shown abroad, accepted" } else { "shown abroad, refused" });
        let record = &held.record;
        let (id, subject, index) = (record.id, subject_number(record), record.index);
        theirs.history.tell(&Event::VerifiedAbroad { node, id, subject, index, sent, accepted });
    }
}

/// Whether the neighbours follow what becomes of a token.
fn travels(held: &Held) -> bool {
    held.record.revocable
}
