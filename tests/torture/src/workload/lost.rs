//! Nodes whose disk somebody may have: an administrator declares them lost, and whatever they knew is replaced. Every token of
//! before ends with that, the administrator's as well.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_sim::history::Event;
use circlet_sim::mark::Target;
use reqwest::Method;

use super::administrator::NAME;
use super::held::number;
use super::marks::{ALL_TIME, Mark, Whom};
use super::signing::is_usable;
use super::{Reply, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

/// Whoever has a disk knows what was on it, whatever becomes of the node's name: he has a number of his own, above all nodes'.
const THIEVES: u64 = 1_000;

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(300);

/// A backup is tried so often at most.
const ATTEMPTS_MAX: usize = 30;

/// So many tokens of before are shown around, the newest.
const SHOWN_MAX: usize = 6;

/// Files in a home that hold a secret, or change with one.
const FILES: [&str; 3] = ["master.key", "next-master.key", "ca.crt"];

impl Workload {
    /// An administrator declares a node lost whose disk is stolen, until everything that it knew is replaced.
    pub(crate) async fn declare_lost(self: &Arc<Self>, node: &Arc<Node>) {
        let thief = THIEVES + self.thieves.fetch_add(1, Ordering::SeqCst) + 1;
        let of_keys = self.ledger.on_node(node.number).into_iter();
        let of_keys = of_keys.filter(|(_, standing)| is_usable(*standing));
        let known = of_keys.map(|(kid, _)| number(kid.as_str())).chain(sums_in(&self.lab.stolen())).collect();
        self.judge.tell(&Event::KeysKept { node: thief, kept: known });
        self.touched.losing();
        let sent = self.judge.now();
        let (through, index) = self.until_replaced(node).await;
        self.touched.lost(index, self.judge.now());
        self.tell_mark(Target::Everyone, index, ALL_TIME);
        self.set_mark(Mark { whom: Whom::Everything, below: index, index, sent, ends: false });
        self.admin_is_out();
        for other in self.lab.running() {
            self.tell_secrets(&other, &[]).await;
        }
        let held = self.held().clone();
        for ended in held.iter().rev().filter(|held| held.index < index).take(SHOWN_MAX) {
            for other in self.lab.running() {
                self.judge_by(&other, ended).await;
            }
            drop(tokio::spawn(Arc::clone(self).hunt(ended.clone())));
        }
        self.have_backup_opened(&through).await;
    }

    /// Through which node it was done, and where.
    async fn until_replaced(&self, lost: &Node) -> (Arc<Node>, u64) {
        loop {
            if let Some(node) = self.another(lost) {
                let write = Write {
                    method: Method::POST,
                    path: format!("/circlet/v1/cluster/nodes/node-{}/lost", lost.number),
                    shown: Shown::Password(NAME, self.admin_password()),
                    body: None,
                    idempotency_key: None,
                };
                if let Reply::Done(_, index) =
                    self.write(&node, "node declared lost", self.hollowed(write), &[404, 409]).await
                {
                    return (node, index);
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// A node says which keys it has; `more` is what else it has. Nothing of that may a thief know.
    pub(crate) async fn tell_secrets(&self, node: &Arc<Node>, more: &[u64]) {
        let Some(keys) = self.read_keys(node).await else { return };
        let usable = keys.iter().filter(|(_, standing)| is_usable(*standing));
        let sums = usable.map(|(kid, _)| number(kid.as_str())).chain(more.iter().copied()).collect();
        let lost = (1..=self.thieves.load(Ordering::SeqCst)).map(|thief| THIEVES + thief).collect();
        self.judge.count("secrets compared with a thief's");
        let index = self.acknowledged.load(Ordering::SeqCst);
        self.judge.tell(&Event::Secrets { node: node.number, index, sums, lost });
    }

    /// In the end also what is on the nodes' disks is nothing that a thief has.
    pub(crate) async fn tell_secrets_on_disk(&self, node: &Arc<Node>) {
        if self.thieves.load(Ordering::SeqCst) > 0 {
            self.tell_secrets(node, &sums_in(&self.lab.home(node))).await;
        }
    }

    /// A backup that is made from now on opens with the master key of the node that made it, and not with the thief's.
    async fn have_backup_opened(&self, node: &Node) {
        let number = node.number.to_string();
        let key_in = |home: &Path| home.join("etc/security/master.key").display().to_string();
        for _ in 0..ATTEMPTS_MAX {
            // The administrator may have no token yet, or the master key may be replaced once more.
            let file =
                self.lab.folder.join(format!("sealed-{:016x}", self.dice.word())).display().to_string();
            let made = self.lab.run(&["backup", &number, &file]).await;
            if made.is_ok() && self.lab.run(&["opens", &file, &key_in(&self.lab.home(node))]).await.is_ok() {
                if self.lab.run(&["opens", &file, &key_in(&self.lab.stolen())]).await.is_ok() {
                    let said =
                        format!("a backup of node {number} opens with the master key that a lost node had");
                    self.judge.accuse("lost-node", said);
                }
                return self.judge.count("backup after a loss, shut to the thief");
            }
            tokio::time::sleep(RETRY).await;
        }
        self.judge.count("backup after a loss not judged");
    }
}

/// What these files of a home hold.
fn sums_in(home: &Path) -> Vec<u64> {
    let read = |name| std::fs::read_to_string(home.join("etc/security").join(name)).ok();
    FILES.into_iter().filter_map(read).map(|text| number(text.trim())).collect()
}
