//! Nodes that don't hear each other.

use std::sync::Arc;

use super::{Chaos, Fault};
use crate::lab::Node;
use crate::workload::issuing::VERIFY_MAX_ISOLATION_MS;

/// So much longer than its bounds a node is isolated, in milliseconds.
const AND_MORE_MS: u64 = 2_000;

impl Chaos {
    fn others(&self, than: &Node) -> Vec<Arc<Node>> {
        self.lab.nodes().into_iter().filter(|node| node.number != than.number).collect()
    }

    async fn between(&self, what: &str, from: &Node, to: &Node) {
        self.lab.must(&self.judge, &[what, &from.number.to_string(), &to.number.to_string()]).await;
    }

    async fn mend(&self) {
        self.lab.must(&self.judge, &["mend"]).await;
    }

    /// A node is cut off from the others, often the leader.
    pub(super) async fn cut(&self, victim: &Arc<Node>) -> bool {
        let Ok(_network) = self.network.try_lock() else { return false };
        let leader = if self.dice.percent(50) { self.leader().await } else { None };
        let victim = leader.as_ref().unwrap_or(victim);
        self.say(Fault::Cut, format!("node {} is cut off", victim.number));
        for other in self.others(victim) {
            self.between("cut", victim, &other).await;
        }
        self.wait_ms(1_000, 5_000).await;
        self.mend().await;
        true
    }

    /// A node is cut off for longer than it may issue and verify on its own, while clients go on asking it.
    pub(super) async fn isolate(&self, victim: &Arc<Node>) -> bool {
        let Ok(_network) = self.network.try_lock() else { return false };
        self.say(Fault::Isolation, format!("node {} is cut off for long", victim.number));
        for other in self.others(victim) {
            self.between("cut", victim, &other).await;
        }
        let until = self.judge.now() + (VERIFY_MAX_ISOLATION_MS + AND_MORE_MS) * 1_000_000;
        while self.judge.now() < until && !self.is_over() {
            self.wait_ms(50, 250).await;
            self.workload.issue_plain(victim).await;
            self.workload.verify(victim).await;
        }
        self.mend().await;
        self.judge.now() >= until
    }

    /// What a node sends is lost, or what is sent to it.
    pub(super) async fn one_way(&self, victim: &Arc<Node>) -> bool {
        let Ok(_network) = self.network.try_lock() else { return false };
        let leader = if self.dice.percent(50) { self.leader().await } else { None };
        let victim = leader.as_ref().unwrap_or(victim);
        let is_deaf = self.dice.percent(50);
        let how = if is_deaf { "hears nothing" } else { "is heard by nobody" };
        self.say(Fault::OneWay, format!("node {} {how}", victim.number));
        for other in self.others(victim) {
            let (from, to) = if is_deaf { (&other, victim) } else { (victim, &other) };
            self.between("deafen", from, to).await;
        }
        self.wait_ms(1_000, 5_000).await;
        self.mend().await;
        true
    }

    /// Two nodes don't reach each other; whoever else there is reaches both.
    pub(super) async fn bridge(&self, victim: &Arc<Node>) -> bool {
        let Ok(_network) = self.network.try_lock() else { return false };
        let Some(other) = self.dice.pick(&self.others(victim)).cloned() else { return false };
        let (one, two) = (victim.number, other.number);
        self.say(Fault::Bridge, format!("nodes {one} and {two} don't reach each other"));
        self.between("cut", victim, &other).await;
        self.wait_ms(1_000, 4_000).await;
        self.mend().await;
        true
    }

    /// A node dies, and when it is back it is alone: it vouches for nothing, and signs nothing.
    pub(super) async fn start_alone(&self, victim: &Arc<Node>) -> bool {
        let Ok(_network) = self.network.try_lock() else { return false };
        // A node that came now would not be cut off from it.
        let Ok(_moving) = self.moving.try_lock() else { return false };
        let Some(_breaking) = self.take(victim) else { return false };
        self.say(Fault::StartAlone, format!("node {} starts while it is cut off", victim.number));
        self.end(victim).await;
        for other in self.others(victim) {
            self.between("cut", victim, &other).await;
        }
        self.start(victim).await;
        victim.note(|known| known.alone_since_start = true);
        for _ in 0..12 {
            self.wait_ms(100, 250).await;
            self.workload.verify(victim).await;
            self.workload.issue_plain(victim).await;
        }
        victim.note(|known| known.alone_since_start = false);
        self.mend().await;
        true
    }
}
