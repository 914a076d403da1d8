//! Following what other clusters revoke.
//!
//! The node that leads asks each member of the circle, over and over: it notes its clocks, draws a nonce, and asks a host
//! that a person approved. What the answer says is checked, proposed and so replicated; once this node's view holds it, the
//! instant before the question is what the others learn with their next proof of freshness. A node that doesn't lead asks
//! nobody.

pub(crate) mod ask;
pub mod follow;
pub mod forward;
mod leader;
pub mod orders;
pub mod pairing;
pub mod serve;
pub mod told;

use std::collections::BTreeMap;
use std::time::Duration;

use circlet_raft::Role;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;

/// How often a node looks whether it leads, and whom it is to follow.
const LOOK: Duration = Duration::from_millis(250);

/// Follows every member while this node leads. Never returns.
pub(crate) async fn run(cluster: Cluster) {
    let mut following = Following::default();
    loop {
        tokio::time::sleep(LOOK).await;
        if cluster.status().role != Role::Leader {
            if following.stop_all() {
                cluster.forget_sources();
            }
            continue;
        }
        let view = &cluster.published().view;
        let members: Vec<u64> = view.members_followed().map(|member| member.since_index).collect();
        following.keep(&members);
        for member in view.members_followed() {
            following.begin(member.since_index, || {
                tokio::spawn(leader::follow(cluster.clone(), member.approved.clone(), member.since_index))
            });
        }
    }
}

/// One task for each member, by the log index of its approval.
#[derive(Default)]
struct Following(BTreeMap<u64, JoinHandle<()>>);

impl Following {
    fn begin(&mut self, member: u64, start: impl FnOnce() -> JoinHandle<()>) {
        let ended = self.0.get(&member).is_none_or(JoinHandle::is_finished);
        if ended {
            self.0.insert(member, start());
        }
    }

    fn keep(&mut self, members: &[u64]) {
        self.0.retain(|member, task| {
            let stays = members.contains(member);
            if !stays {
                task.abort();
            }
            stays
        });
    }

    /// Whether there was anything to stop.
    fn stop_all(&mut self) -> bool {
        let some = !self.0.is_empty();
        self.keep(&[]);
        some
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop_all();
    }
}
