//! Somebody who has the disk of a node that was removed, and asks the others for the master key as that node did, and tells
//! them that they were given up. That they hang up on it first is not relied on: a connection may be older than the removal.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::NodeRole;
use circlet_raft::network::succession;
use circlet_raft::{NodeId, Peer};
use futures::future::join_all;
use openraft_rt::AsyncRuntime;

use super::{Cluster, Computer, ask};
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope;
use crate::turnover::{Keeper, asking};
use crate::wires::Intruder;

/// How often every node is asked, and how long after the time before.
const QUESTIONS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(400);
/// How long he waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

impl Cluster {
    /// Asks every node that is left for the master key, and tells it that it was given up, several times, with the identity of a
    /// removed one.
    pub(super) fn let_steal(self: &Arc<Self>, removed: NodeId) {
        let cluster = Arc::clone(self);
        let stealing = async move {
            for _ in 0..QUESTIONS {
                NodeRuntime::sleep(PAUSE).await;
                for computer in cluster.running().into_iter().filter(|computer| computer.id != removed) {
                    drop(NodeRuntime::spawn(cluster.ask_for_key(removed, Arc::clone(&computer))));
                    if let Some(lying) = cluster.lie_about_end(removed, &computer) {
                        drop(NodeRuntime::spawn(lying));
                    }
                }
            }
        };
        scope::outside(|| drop(NodeRuntime::spawn(stealing)));
    }

    fn ask_for_key(
        &self,
        removed: NodeId,
        computer: Arc<Computer>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (disk, dice) = (Arc::clone(&computer.disk), self.dice.split());
        let sent = global_nanos();
        async move {
            let asked = ask(&computer, move |member| async move {
                let scope = scope::current()?;
                let present = member.published().view.master_key_fingerprint()?;
                let keeper = Keeper { member, scope: Arc::clone(&scope), disk, dice };
                let given = asking::give(&keeper, removed, &asking::question(&present)).await;
                let node = scope.node();
                given.ok().map(|_| scope.history().tell(&Event::KeyGiven { node, to: removed, sent }))
            });
            asked.await;
        }
    }

    /// Before it is a member, a node that was let in tells all that they were given up.
    pub(super) async fn let_newcomer_lie(&self, newcomer: NodeId) {
        let running = self.running();
        join_all(running.iter().filter_map(|computer| self.lie_about_end(newcomer, computer))).await;
    }

    /// Whoever has the liar as a member may believe it, as any member: also who has not heard yet that it was removed.
    fn lie_about_end(
        &self,
        liar: NodeId,
        computer: &Computer,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (_, member) = computer.node()?;
        let view = Arc::clone(&member.published().view);
        let is_admitted = view.node(liar).is_some_and(|node| node.role == NodeRole::Admitted);
        if !is_admitted && view.removed_node(liar).is_none() {
            return None;
        }
        let (dial, to) = (Intruder { wires: Arc::clone(&self.wires), me: liar }, computer.id);
        Some(async move {
            let anywhere = Peer::default();
            let lying = succession::announce(&dial, to, &anywhere, view.generation() + 1);
            // Whether he is believed is told where it is.
            let _ = NodeRuntime::timeout(PATIENCE, lying).await;
        })
    }
}
