//! Somebody who has the disk of a node that was removed, and asks the others for the master key as that node did. That they
//! hang up on it first is not relied on: a connection may be older than the removal.

use std::sync::Arc;
use std::time::Duration;

use circlet_raft::NodeId;
use openraft_rt::AsyncRuntime;

use super::{Cluster, ask};
use crate::history::Event;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope;
use crate::turnover::{Keeper, asking};

/// How often every node is asked, and how long after the time before.
const QUESTIONS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(400);

impl Cluster {
    /// Asks every node that is left for the master key, several times, with the identity of a removed one.
    pub(super) fn let_steal(self: &Arc<Self>, removed: NodeId) {
        let cluster = Arc::clone(self);
        let stealing = async move {
            for _ in 0..QUESTIONS {
                NodeRuntime::sleep(PAUSE).await;
                for computer in cluster.running().into_iter().filter(|computer| computer.id != removed) {
                    let (disk, dice) = (Arc::clone(&computer.disk), cluster.dice.split());
                    let sent = global_nanos();
                    let asked = async move {
                        ask(&computer, move |member| async move {
                            let scope = scope::current()?;
                            let present = member.published().view.master_key_fingerprint()?;
                            let keeper = Keeper { member, scope: Arc::clone(&scope), disk, dice };
                            let given = asking::give(&keeper, removed, &asking::question(&present)).await;
                            let node = scope.node();
                            given
                                .ok()
                                .map(|_| scope.history().tell(&Event::KeyGiven { node, to: removed, sent }))
                        })
                        .await
                    };
                    drop(NodeRuntime::spawn(asked));
                }
            }
        };
        scope::outside(|| drop(NodeRuntime::spawn(stealing)));
    }
}
