//! Tells the cluster where this node is reached. What `node.yml` says counts, so a node moves to another address by being
//! started there. Generic over the node, so that simulated ones move by the same lines.

use std::future::Future;
use std::time::Duration;

use circlet_authority::NodeRecord;
use circlet_raft::MemberError;

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks whether the cluster has it as it is: what was held up on its way from an earlier start may be decided late.
const LOOK: Duration = Duration::from_secs(5);

/// Where a node is reached.
pub(super) struct Place {
    /// Where other nodes reach it.
    pub(super) peer_address: String,
    /// Where clients do.
    pub(super) client_url: String,
}

/// What it takes of the node.
pub(super) trait Movable: Sync {
    /// What its log records of itself, once it is a member. Its view may hold less: a leader that doesn't find it can't tell it
    /// what is decided.
    fn recorded(&self) -> Option<NodeRecord>;

    /// Has the cluster record a member so.
    fn relocate(&self, record: &NodeRecord) -> impl Future<Output = Result<(), MemberError>> + Send;

    /// Lets time pass.
    fn pause(&self, time: Duration) -> impl Future<Output = ()> + Send;
}

/// Tells it until the cluster has taken note, and again should it ever be otherwise. It is told at every start: this node's own
/// log may be of before, and the leader writes nothing that it knows already. Never returns.
pub(super) async fn run(node: impl Movable, place: Place) {
    let mut refused = String::new();
    loop {
        if let Some(known) = node.recorded() {
            let moves = known.peer_address != place.peer_address || known.client_url != place.client_url;
            let record = NodeRecord {
                peer_address: place.peer_address.clone(),
                client_url: place.client_url.clone(),
                ..known
            };
            match node.relocate(&record).await {
                Ok(()) => {
                    if moves {
                        let Place { peer_address, client_url, .. } = &place;
                        tracing::info!(%peer_address, %client_url, "the cluster knows this node's new address");
                    }
                    until_otherwise(&node, &place).await;
                    continue;
                }
                Err(MemberError::Refused(why)) if why != refused => {
                    tracing::warn!(%why, "the cluster refuses the addresses of node.yml");
                    refused = why;
                }
                Err(MemberError::Refused(_) | MemberError::Unavailable(_)) => {}
            }
        }
        node.pause(RETRY).await;
    }
}

/// Waits until the log has other addresses of this node.
async fn until_otherwise(node: &impl Movable, place: &Place) {
    loop {
        node.pause(LOOK).await;
        let is_so = |known: &NodeRecord| {
            known.peer_address == place.peer_address && known.client_url == place.client_url
        };
        if !node.recorded().as_ref().is_none_or(is_so) {
            return;
        }
    }
}
