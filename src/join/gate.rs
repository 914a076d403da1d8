//! The member's side of joining.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, AdmitByKey, AdmitNode, NodeRecord, NodeRole, Outcome};
use circlet_raft::{Gate, NodeId, Unconfirmed};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::SetOnce;

use super::messages::{JoinAnswer, JoinRequest, Means, RequestFrame, write_answer};
use crate::certificates;
use crate::clock;
use crate::cluster::Cluster;
use crate::home::{HomeError, Identity, Introduced, Paths, Superseded};
use crate::secret::Secret;
use crate::{join_key, join_token, machine, renewal, turnover};

/// Says no in the same words whether the token is unknown or the proof is wrong.
const NOT_PROVED: &str = "the join token is not one of this cluster, or was not proved";
/// The same for the join key.
const KEY_NOT_PROVED: &str =
    "the join.key of the node is not the one that was placed here, or was not proved";
const OTHER_MASTER_KEY: &str = "the master.key of the node is not this cluster's; place that of another node";
/// A node that is starting is waited for.
const OPENING: Duration = Duration::from_secs(10);

/// Serves those that want to join, once the node is open.
#[derive(Clone)]
pub struct JoinGate {
    paths: Paths,
    cluster: Arc<SetOnce<Cluster>>,
}

impl JoinGate {
    /// A gate that is closed yet.
    #[must_use]
    pub fn new(paths: Paths) -> Self {
        Self { paths, cluster: Arc::default() }
    }

    /// Opens the gate.
    pub fn open(&self, cluster: Cluster) {
        // A second time changes nothing: there is one cluster per process.
        let _ = self.cluster.set(cluster);
    }
}

impl Gate for JoinGate {
    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let gate = self.clone();
        async move {
            let opened = tokio::time::timeout(OPENING, gate.cluster.wait()).await;
            let cluster = opened.map_err(|_| "this node is still starting")?;
            let admitted = admit(cluster, &gate.paths, &exporter, &request).await;
            if let Err(reason) = &admitted {
                tracing::warn!(%reason, "a node that wanted to join was refused");
            }
            admitted
        }
        .boxed()
    }

    fn tell(&self, from: NodeId, question: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let gate = self.clone();
        async move {
            let cluster = gate.cluster.get().ok_or("this node is still starting")?;
            turnover::give(cluster, &gate.paths, from, &question).await
        }
        .boxed()
    }

    fn superseded(&self, from: NodeId, generation: u64) -> BoxFuture<'static, Result<(), Unconfirmed>> {
        let paths = self.paths.clone();
        let keeping = tokio::task::spawn_blocking(move || keep_succession(&paths, from, generation));
        async { keeping.await.unwrap_or_else(|error| Err(Unconfirmed::NotKept(error.to_string()))) }.boxed()
    }
}

/// Keeps it for the next start that the cluster goes on in a later generation. Blocks.
fn keep_succession(paths: &Paths, from: NodeId, generation: u64) -> Result<(), Unconfirmed> {
    let unkept = |error: HomeError| {
        tracing::error!(%error, "that this node was given up can't be kept");
        Unconfirmed::NotKept(error.to_string())
    };
    let identity = Identity::read_if_present(paths).map_err(unkept)?;
    let Some(identity) = identity.filter(|identity| identity.generation < generation) else {
        return Err(Unconfirmed::NotBelieved(format!("generation {generation} is none that comes later")));
    };
    let told = Superseded {
        service_id: identity.service_id,
        generation,
        told_by: from,
        told_at_ms: clock::wall_ms(),
    };
    tracing::error!(
        from,
        generation,
        "a member says that the cluster goes on in a later generation without this node"
    );
    told.write(paths).map_err(unkept)
}

async fn admit(
    cluster: &Cluster,
    paths: &Paths,
    exporter: &[u8; 32],
    frame: &[u8],
) -> Result<Vec<u8>, String> {
    let frame =
        RequestFrame::parse(frame).ok_or("this is not a request to join that this version understands")?;
    match frame.means {
        Means::Token(id) => admit_by_token(cluster, &frame, &id, exporter).await,
        Means::Key => admit_by_key(cluster, paths, &frame, exporter).await,
    }
}

async fn admit_by_token(
    cluster: &Cluster,
    frame: &RequestFrame<'_>,
    id: &[u8; 16],
    exporter: &[u8; 32],
) -> Result<Vec<u8>, String> {
    let view = Arc::clone(&cluster.published().view);
    let refresh = cluster.keys().refresh_secret(&view).map_err(|error| error.to_string())?;
    let secret = refresh.join_secret(id);
    let request = frame.proved(&secret, exporter).ok_or(NOT_PROVED)?;
    let public_key = public_key(&request)?;
    let action = Action::AdmitNode(Box::new(AdmitNode {
        join_token: join_token::hash_of(&secret),
        name: request.name.clone(),
        peer_address: request.peer_address.clone(),
        client_url: request.client_url.clone(),
        public_key: certificates::pin(&public_key),
        votes: !request.learner,
        supports: request.supports,
    }));
    let node_id = record(cluster, action, &request, &public_key).await?;
    // The token was redeemed: from here on only the same node gets the same again.
    let view = &cluster.published().view;
    let master_key = cluster.keys().master(view).map_err(|error| error.to_string())?;
    let answer = answer(cluster, node_id, &request, &public_key, Some(master_key.material()))?;
    Ok(write_answer(&secret, exporter, &answer))
}

async fn admit_by_key(
    cluster: &Cluster,
    paths: &Paths,
    frame: &RequestFrame<'_>,
    exporter: &[u8; 32],
) -> Result<Vec<u8>, String> {
    let secret = join_key::read(paths).map_err(|error| {
        tracing::warn!(%error, "a node wants to join by a join key that this one doesn't have");
        KEY_NOT_PROVED
    })?;
    let request = frame.proved(&secret, exporter).ok_or(KEY_NOT_PROVED)?;
    let master = cluster.keys().master(&cluster.published().view).map_err(|error| error.to_string())?;
    if !request.proves_master_key(&master, exporter) {
        return Err(OTHER_MASTER_KEY.to_owned());
    }
    let public_key = public_key(&request)?;
    let action = Action::AdmitByKey(Box::new(AdmitByKey {
        name: request.name.clone(),
        peer_address: request.peer_address.clone(),
        client_url: request.client_url.clone(),
        public_key: certificates::pin(&public_key),
        votes: !request.learner,
        supports: request.supports,
    }));
    let node_id = record(cluster, action, &request, &public_key).await?;
    let answer = answer(cluster, node_id, &request, &public_key, None)?;
    Ok(write_answer(&secret, exporter, &answer))
}

fn public_key(request: &JoinRequest) -> Result<Vec<u8>, String> {
    request.public_key().ok_or_else(|| "the joining node's public key is garbled".to_owned())
}

/// What a node that was let in needs to know.
fn answer(
    cluster: &Cluster,
    node_id: u64,
    request: &JoinRequest,
    public_key: &[u8],
    master_key: Option<&Secret>,
) -> Result<JoinAnswer, String> {
    let view = Arc::clone(&cluster.published().view);
    let service_id = view.service_id().ok_or("the cluster has no service id yet")?.as_str().to_owned();
    let ca = cluster.keys().cluster_ca(&view).map_err(|error| error.to_string())?;
    let now_ms = clock::wall_ms();
    let certificate = renewal::lifetime(&view, &ca.certificate, now_ms).and_then(|lifetime| {
        certificates::node_certificate(&ca, public_key, &request.name, &service_id, now_ms, lifetime)
    });
    let certificate = certificate.map_err(|error| error.to_string())?;
    tracing::info!(node = node_id, name = %request.name, peer = %request.peer_address, "a node joins");
    let members = view.nodes().filter(|node| node.role != NodeRole::Admitted);
    let members = members.map(|node| introduced(&node.record)).collect();
    let generation = view.generation();
    Ok(JoinAnswer::new(node_id, &service_id, generation, members, master_key, &ca.certificate, &certificate))
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

/// Has the log admit the node, and brings it into the membership; the id is the one that the log gave it.
async fn record(
    cluster: &Cluster,
    admit: Action,
    request: &JoinRequest,
    public_key: &[u8],
) -> Result<u64, String> {
    let decided = cluster.decide(Actor::System, admit).await.map_err(|error| error.to_string())?;
    let id = match decided.outcome {
        Outcome::Joined { node } => node,
        Outcome::Refused(refusal) => return Err(refusal.to_string()),
        other => return Err(format!("unexpected outcome of admitting a node: {other:?}")),
    };
    let record = NodeRecord {
        id,
        name: request.name.clone(),
        peer_address: request.peer_address.clone(),
        client_url: request.client_url.clone(),
        public_key: certificates::pin(public_key),
    };
    cluster.add_learner(id, machine::peer(&record)).await.map_err(|error| error.to_string())?;
    Ok(id)
}
