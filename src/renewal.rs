//! Certificates renew by themselves: each node's own, which it signs with the cluster's CA, and the CA's, by the leader.
//!
//! Peers know each other by their keys, which stay, so a new certificate breaks no connection. What is shown matters to
//! nodes that want to join, and to clients that trust the CA.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, ClusterCa, Outcome, ReplaceCa, SealedKind, State};
use circlet_raft::Role;
use serde_json::json;

use crate::audit::{Audit, Change, Entity, Line};
use crate::certificates::{self, CertificateProblem, Validity};
use crate::clock;
use crate::cluster::Cluster;
use crate::home::{self, HomeError, Paths};
use crate::keys::KeyUnavailable;
use crate::node::opening;

/// How often a node looks whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(30);

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum NotRenewed {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
    #[error("{0}")]
    Other(String),
}

/// Does a node's part. Never returns.
pub(crate) async fn run(cluster: Cluster, paths: Paths, name: String, audit: Audit) {
    loop {
        tokio::time::sleep(LOOK).await;
        let view = Arc::clone(&cluster.published().view);
        let Some(ca) = view.cluster_ca_certificate() else { continue };
        let own = own_certificate(&cluster, &paths, &view, &name, ca);
        let authority = async {
            if cluster.status().role == Role::Leader {
                renew_ca(&cluster, &audit, &view, ca).await
            } else {
                Ok(())
            }
        };
        for renewed in [own, authority.await] {
            if let Err(error) = renewed {
                tracing::error!(%error, "a certificate could not be renewed");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// How long the nodes' certificates shall live: never longer than what signed them.
pub(crate) fn lifetime(view: &State, ca: &[u8], now_ms: u64) -> Result<Duration, CertificateProblem> {
    let wanted = u64::try_from(view.config().certificate_lifetime).unwrap_or(0);
    let left = Validity::of(ca)?.left_secs(now_ms);
    Ok(Duration::from_secs(wanted.min(left)))
}

/// Renews this node's certificate, if that is due or if another CA signs by now.
fn own_certificate(
    cluster: &Cluster,
    paths: &Paths,
    view: &State,
    name: &str,
    ca: &[u8],
) -> Result<(), NotRenewed> {
    let now_ms = cluster.now().millis();
    let lifetime = lifetime(view, ca, now_ms)?;
    let read = |file: PathBuf| home::read(&file, "it shows this node to its peers");
    let shown = certificates::read_certificates(&read(paths.node_crt())?)?;
    let signed_by = certificates::read_certificates(&read(paths.ca_crt())?)?;
    let own = shown.first().map_or(&[][..], Vec::as_slice);
    if signed_by.first().map(Vec::as_slice) == Some(ca) && !Validity::of(own)?.is_due(lifetime, now_ms) {
        return Ok(());
    }
    let key = opening::node_key(paths)?;
    let service_id = view.service_id().map(ToString::to_string).unwrap_or_default();
    let authority = cluster.keys().cluster_ca(view)?;
    let public_key = certificates::public_key(&key)?;
    let certificate = certificates::node_certificate(
        &authority,
        &public_key,
        name,
        &service_id,
        clock::wall_ms(),
        lifetime,
    )?;
    opening::write_node_files(paths, &key, &certificate, ca)?;
    let chain = [certificate, ca.to_vec()];
    cluster.show_certificates(&chain).map_err(NotRenewed::Other)?;
    let [certificate, _] = &chain;
    tracing::info!(until = Validity::of(certificate)?.not_after, "this node's certificate was renewed");
    Ok(())
}

/// Renews the CA's certificate, if that is due; its key and its name stay, so what trusts it goes on trusting it.
async fn renew_ca(cluster: &Cluster, audit: &Audit, view: &State, ca: &[u8]) -> Result<(), NotRenewed> {
    let lifetime = Duration::from_secs(u64::try_from(view.config().ca_lifetime).unwrap_or(0));
    if !Validity::of(ca)?.is_due(lifetime, cluster.now().millis()) || audit.admit_write().is_err() {
        return Ok(());
    }
    let service_id = view.service_id().map(ToString::to_string).unwrap_or_default();
    let present = cluster.keys().cluster_ca(view)?;
    let renewed =
        certificates::renewed_cluster_ca(&present.private_key, &service_id, clock::wall_ms(), lifetime)?;
    let private_key = cluster.keys().seal(view, &SealedKind::ClusterCa, &renewed.private_key)?;
    let until = Validity::of(&renewed.certificate)?.not_after;
    let replace = ReplaceCa {
        replaces: ca.to_vec(),
        ca: ClusterCa { certificate_der: renewed.certificate, private_key },
    };
    let decided = cluster.decide(Actor::System, Action::ReplaceCa(Box::new(replace))).await;
    let outcome = decided.map_err(|error| NotRenewed::Other(error.to_string()))?.outcome;
    if let Outcome::Refused(refusal) = outcome {
        return Err(NotRenewed::Other(refusal.to_string()));
    }
    tracing::info!(until, "the certificate of the cluster's CA was renewed");
    if cluster.published().view.config().audit_enabled {
        let data = json!({"changed": {"ca": "renewed", "expires": until}});
        audit.record(&Line::by_node(Change::Updated, Entity::Key, "cluster-ca", data));
    }
    Ok(())
}
