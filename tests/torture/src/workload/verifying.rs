//! Showing tokens to nodes.

use std::sync::Arc;
use std::time::Duration;

use circlet_sim::history::Event;
use reqwest::Method;

use super::{Held, Workload};
use crate::client::{Answer, Shown};
use crate::lab::Node;

/// The bound within which every node refuses, in milliseconds.
pub(crate) const BOUND_MS: u64 = 2_000;

/// After a revoke its token is shown again this much later than the bound, in milliseconds.
const LATER_MS: [u64; 6] = [5, 60, 150, 300, 600, 1_200];

impl Workload {
    /// Shows a revoked token to every node, several times, from the moment on at which each must refuse it.
    pub(super) async fn hunt(self: Arc<Self>, held: Held) {
        let begun = tokio::time::Instant::now();
        if let Some(neighbour) = self.neighbour().cloned() {
            let held = held.clone();
            drop(tokio::spawn(async move { neighbour.hunt_there(&held, begun).await }));
        }
        for later_ms in LATER_MS {
            tokio::time::sleep_until(begun + Duration::from_millis(BOUND_MS + later_ms)).await;
            for node in self.lab.running() {
                let (this, held) = (Arc::clone(&self), held.clone());
                drop(tokio::spawn(async move { this.judge_by(&node, &held).await }));
            }
        }
    }

    /// Shows some token to a node.
    pub(crate) async fn verify(&self, node: &Arc<Node>) {
        if let Some(held) = self.some_token() {
            self.judge_by(node, &held).await;
        }
    }

    /// Has a node judge a token, and tells what it said; `Some(true)` is accepted.
    pub(crate) async fn judge_by(&self, node: &Arc<Node>, held: &Held) -> Option<bool> {
        let (before, sent) = (node.condition(), self.judge.now());
        let answer = self.show(node, &held.text).await;
        let after = node.condition();
        let Some(answer) = answer.filter(|answer| !matches!(answer.status, 503 | 429)) else {
            self.judge.count("verify unanswered");
            return None;
        };
        let accepted = match answer.status {
            200 => true,
            401 => false,
            status => {
                self.judge.accuse("answers", format!("verify at node {}: {status}", node.number));
                return None;
            }
        };
        self.record_verdict(held, (!accepted).then(|| answer.reason().unwrap_or_default()), sent);
        self.judge.count(if accepted { "verify accepted" } else { "verify refused" });
        let alone = before.is_alone_until(&after);
        if accepted {
            self.gaps.success("verify", self.judge.now());
            let view = answer.body["index"].as_u64().unwrap_or(0);
            self.tell_accepted(node, held, view, sent, !alone).await;
        } else {
            // By which view a node refuses, its answer doesn't say.
            self.tell_verified(node, held, u64::MAX, sent, (false, !alone));
        }
        Some(accepted)
    }

    /// A node accepted a token by its view at `view`; `proved`: for all that is known it had proved freshness since its start.
    pub(super) async fn tell_accepted(
        &self,
        node: &Arc<Node>,
        held: &Held,
        view: u64,
        sent: u64,
        proved: bool,
    ) {
        self.tell_verified(node, held, view, sent, (true, proved));
        self.vouched(node, &held.kid, view, sent).await;
    }

    pub(super) fn tell_verified(
        &self,
        node: &Node,
        held: &Held,
        view: u64,
        sent: u64,
        (accepted, proved): (bool, bool),
    ) {
        let (id, subject, index, revocable) = (held.id, held.subject, held.index, held.revocable);
        let node = node.number;
        self.judge.tell(&Event::Verified {
            node,
            id,
            subject,
            index,
            view,
            sent,
            accepted,
            proved,
            revocable,
        });
    }

    /// What a node says of a token.
    pub(crate) async fn show(&self, node: &Node, token: &str) -> Option<Answer> {
        let url = format!("{}/circlet/v1/verify", node.url);
        self.client.send(Method::GET, url, Shown::Token(token), None).await
    }
}
