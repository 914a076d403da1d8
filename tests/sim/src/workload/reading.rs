//! Reads that insist on being fresh.

use openraft_rt::AsyncRuntime;

use super::{PATIENCE, Workload};
use crate::cluster::{Computer, ask};
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};

impl Workload {
    pub(super) async fn read_fresh(&self, computer: &Computer) {
        self.count("fresh read");
        let sent = global_nanos();
        let asked = ask(computer, |member| async move { member.fresh(None).await.map(|seen| seen.index) });
        match NodeRuntime::timeout(PATIENCE, asked).await {
            Ok(Some(Ok(index))) => {
                self.cluster.history.tell(&Event::Fresh { node: computer.id, index, sent });
            }
            _ => self.count("fresh read failed"),
        }
    }
}
