//! Disks that are full, and disks that fail.

use std::sync::Arc;

use super::{Chaos, Fault};
use crate::lab::Node;

impl Chaos {
    /// A disk is full for a while. The node may stop itself; it must not acknowledge what it can't keep.
    pub(super) async fn full_disk(&self, victim: &Arc<Node>) -> bool {
        let Some(_breaking) = self.take(victim) else { return false };
        let number = victim.number.to_string();
        self.say(Fault::FullDisk, format!("the disk of node {number} is full"));
        victim.note(|known| known.bad_disk = true);
        self.lab.must(&self.judge, &["fill", &number]).await;
        self.wait_ms(1_500, 4_000).await;
        self.lab.must(&self.judge, &["empty", &number]).await;
        if self.lab.is_alive(victim) {
            self.wait_ms(500, 1_000).await;
        }
        self.restart(victim).await;
        true
    }

    /// Every write and sync of a node fails for a while; what it had synced is there when it starts again.
    pub(super) async fn failing_disk(&self, victim: &Arc<Node>) -> bool {
        let Some(_breaking) = self.take(victim) else { return false };
        let number = victim.number.to_string();
        self.say(Fault::FailingDisk, format!("the disk of node {number} fails"));
        victim.note(|known| known.bad_disk = true);
        self.lab.must(&self.judge, &["break", &number]).await;
        self.wait_ms(1_000, 3_000).await;
        self.restart(victim).await;
        true
    }

    async fn restart(&self, victim: &Arc<Node>) {
        self.end(victim).await;
        self.wait_ms(5, 300).await;
        self.start(victim).await;
    }
}
