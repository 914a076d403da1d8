//! The member's side of joining.

use std::sync::{Arc, OnceLock};

use circlet_authority::{Action, Actor, AdmitNode, NodeRecord, NodeRole, Outcome};
use circlet_raft::Gate;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::messages::{JoinAnswer, JoinRequest, RequestFrame, write_answer};
use crate::certificates;
use crate::clock;
use crate::cluster::Cluster;
use crate::home::Introduced;
use crate::{join_token, machine};

/// Says no in the same words whether the token is unknown or the proof is wrong.
const NOT_PROVED: &str = "the join token is not one of this cluster, or was not proved";

/// Serves those that want to join, once the node is open.
#[derive(Clone, Default)]
pub struct JoinGate {
    cluster: Arc<OnceLock<Cluster>>,
}

impl JoinGate {
    /// Opens the gate.
    pub fn open(&self, cluster: Cluster) {
        // A second time changes nothing: there is one cluster per process.
        let _ = self.cluster.set(cluster);
    }
}

impl Gate for JoinGate {
    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let cluster = self.cluster.get().cloned();
        async move {
            let cluster = cluster.ok_or("this node is still starting")?;
            let admitted = admit(&cluster, &exporter, &request).await;
            if let Err(reason) = &admitted {
                tracing::warn!(%reason, "a node that wanted to join was refused");
            }
            admitted
        }
        .boxed()
    }
}

async fn admit(cluster: &Cluster, exporter: &[u8; 32], frame: &[u8]) -> Result<Vec<u8>, String> {
    let frame =
        RequestFrame::parse(frame).ok_or("this is not a request to join that this version understands")?;
    let view = Arc::clone(&cluster.published().view);
    let refresh = cluster.keys().refresh_secret(&view).map_err(|error| error.to_string())?;
    let secret = refresh.join_secret(&frame.id);
    let request = frame.proved(&secret, exporter).ok_or(NOT_PROVED)?;
    let public_key = request.public_key().ok_or("the joining node's public key is garbled")?;

    let node_id = record(cluster, &join_token::hash_of(&secret), &request, &public_key).await?;

    // The token was redeemed: from here on only the same node gets the same again.
    let view = Arc::clone(&cluster.published().view);
    let service_id = view.service_id().ok_or("the cluster has no service id yet")?.as_str().to_owned();
    let ca = cluster.keys().cluster_ca(&view).map_err(|error| error.to_string())?;
    let certificate =
        certificates::node_certificate(&ca, &public_key, &request.name, &service_id, clock::wall_ms())
            .map_err(|error| error.to_string())?;
    tracing::info!(node = node_id, name = %request.name, peer = %request.peer_address, "a node joins");
    let master_key = cluster.keys().master().material();
    let members = view.nodes().filter(|node| node.role != NodeRole::Admitted);
    let members = members.map(|node| introduced(&node.record)).collect();
    let answer = JoinAnswer::new(
        node_id,
        &service_id,
        view.generation(),
        members,
        master_key,
        &ca.certificate,
        &certificate,
    );
    Ok(write_answer(&secret, exporter, &answer))
}

fn introduced(record: &NodeRecord) -> Introduced {
    Introduced {
        id: record.id,
        name: record.name.clone(),
        peer_address: record.peer_address.clone(),
        client_url: record.client_url.clone(),
        public_key: record.public_key,
    }
}

/// Redeems the token and brings the node into the membership; the id is the one that the log gave it.
async fn record(
    cluster: &Cluster,
    join_token: &[u8; 32],
    request: &JoinRequest,
    public_key: &[u8],
) -> Result<u64, String> {
    let node = AdmitNode {
        join_token: *join_token,
        name: request.name.clone(),
        peer_address: request.peer_address.clone(),
        client_url: request.client_url.clone(),
        public_key: certificates::pin(public_key),
    };
    let decided = cluster
        .decide(Actor::System, Action::AdmitNode(Box::new(node.clone())))
        .await
        .map_err(|error| error.to_string())?;
    let id = match decided.outcome {
        Outcome::Joined { node } => node,
        Outcome::Refused(refusal) => return Err(refusal.to_string()),
        other => return Err(format!("unexpected outcome of admitting a node: {other:?}")),
    };
    let record = NodeRecord {
        id,
        name: node.name,
        peer_address: node.peer_address,
        client_url: node.client_url,
        public_key: node.public_key,
    };
    cluster.add_learner(id, machine::peer(&record)).await.map_err(|error| error.to_string())?;
    Ok(id)
}
