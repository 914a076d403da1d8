//! Key files that are damaged, while their node runs or before it starts.

use std::sync::Arc;

use super::Chaos;
use crate::cluster::Computer;
use crate::fault::Fault;
use crate::history::Event;
use crate::turnover;

/// So many of a hundred nodes are started right after.
const STARTED_PERCENT: u64 = 70;

impl Chaos {
    /// A key file changes, loses its end, or is gone. The node says so, or doesn't start, and is given the file of another one;
    /// or it sees to it by itself.
    pub(super) async fn damage_key_file(&self, victim: Arc<Computer>) {
        if !self.begin_move("a remedy for a key file") {
            return;
        }
        if let Some(what) = turnover::damage(&victim.disk, &self.cluster.history, &self.dice) {
            self.cluster.history.tell(&Event::KeyFileDamaged { node: victim.id });
            self.note(Fault::KeyFileDamaged, format!("{what}, of {}", victim.id));
            if self.dice.percent(STARTED_PERCENT) {
                self.cluster.kill(&victim);
                self.wait_ms(20, 500).await;
                self.cluster.start(&victim).await;
            }
            self.look_after_key_file(&victim).await;
        }
        self.end_move();
    }

    /// Until the node has a key file that it can start with.
    async fn look_after_key_file(&self, victim: &Arc<Computer>) {
        while !turnover::opens_well(victim) {
            self.wait_ms(100, 400).await;
            if !victim.disk.habits().key_problem {
                continue;
            }
            let Some(key) = turnover::copied(&self.cluster, victim, &self.dice) else { continue };
            self.cluster.kill(victim);
            // Power cuts are for nodes that write: what is halted by one goes on when its node is started.
            victim.disk.arm_keys(None);
            if let Err(why) = turnover::place(&victim.disk, &key) {
                self.say(format!("{} takes no key file: {why}", victim.id));
                continue;
            }
            self.say(format!("{} is given the key file of another node", victim.id));
            self.cluster.start(victim).await;
        }
        victim.disk.set(|habits| habits.key_damaged = false);
    }
}
