//! Tells the cluster where this node is reached. What `node.yml` says counts, so a node moves to another address by being
//! started there.

use std::time::Duration;

use circlet_authority::{NodeRecord, NodeRole};
use circlet_raft::MemberError;

use crate::cluster::Cluster;
use crate::machine;

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(500);

/// Where a node is reached.
pub(super) struct Place {
    pub(super) id: u64,
    pub(super) peer_address: String,
    pub(super) client_url: String,
}

/// Tells it until the cluster has taken note. It is told at every start: this node's own view may be of before, and the
/// leader writes nothing that it knows already.
pub(super) async fn run(cluster: Cluster, place: Place) {
    let mut refused = String::new();
    loop {
        let known = member(&cluster, place.id);
        if let Some(known) = known {
            let moves = known.peer_address != place.peer_address || known.client_url != place.client_url;
            let record = NodeRecord {
                peer_address: place.peer_address.clone(),
                client_url: place.client_url.clone(),
                ..known
            };
            match cluster.relocate(place.id, machine::peer(&record)).await {
                Ok(()) if moves => {
                    let Place { peer_address, client_url, .. } = &place;
                    tracing::info!(%peer_address, %client_url, "the cluster knows this node's new address");
                    return;
                }
                Ok(()) => return,
                Err(MemberError::Refused(why)) if why != refused => {
                    tracing::warn!(%why, "the cluster refuses the addresses of node.yml");
                    refused = why;
                }
                Err(MemberError::Refused(_) | MemberError::Unavailable(_)) => {}
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// What the cluster has recorded of this node, once it is a member.
fn member(cluster: &Cluster, id: u64) -> Option<NodeRecord> {
    let view = &cluster.published().view;
    let node = view.node(id).filter(|node| node.role != NodeRole::Admitted)?;
    Some(node.record.clone())
}
