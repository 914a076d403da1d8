//! Drives signing keys through their life: every node says when it has unsealed the published one; the leader activates
//! it when the cluster allows that, lets keys retire, and makes a new one when `key.rotation-interval` has passed.
//!
//! What may happen when is decided by the authority; here it is only asked for, again and again, until it is so.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, KeyOrigin, NewKey, Outcome, RotateKey, SealedKind, State};
use circlet_raft::Role;
use circlet_token::{Algorithm, KeyId, read_certificate};
use serde_json::json;

use crate::audit::{Audit, Change, Entity, Line};
use crate::certificates::{self, CertificateProblem, KeyAndCertificate, TokenKeyKind};
use crate::clock;
use crate::cluster::{Cluster, Decided};
use crate::keys::KeyUnavailable;

pub mod duty;

use duty::Duty;

/// Why a new signing key was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotMade {
    /// The pair, or its certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    /// It can't be sealed here at the moment.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
}

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(250);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(5);

/// Does a node's part. Never returns.
pub(crate) async fn run(cluster: Cluster, audit: Audit) {
    let mut unsealable = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let view = Arc::clone(&cluster.published().view);
        let confirmation = confirmation(&cluster, &view, &mut unsealable);
        let next = match confirmation {
            Some(confirm) => Some(confirm),
            None if cluster.status().role == Role::Leader => due(&cluster, &view).await,
            None => None,
        };
        let Some(rotate) = next else { continue };
        if !carry_out(&cluster, &audit, rotate).await {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Whether it was done.
async fn carry_out(cluster: &Cluster, audit: &Audit, rotate: RotateKey) -> bool {
    let what = describe(&rotate);
    if audit.admit_write().is_err() {
        tracing::warn!("not done, since the audit log can't be written: {what}");
        return false;
    }
    let step = step(&rotate);
    match cluster.decide_for_itself(Actor::System, Action::RotateKey(Box::new(rotate))).await {
        Ok(Decided { outcome: Outcome::Refused(refusal), .. }) => {
            tracing::info!(%refusal, "not done yet: {what}");
            false
        }
        Ok(decided) => {
            tracing::info!(index = decided.index, "{what}");
            if let Some((kid, state)) = step {
                record(cluster, audit, Change::Updated, &kid, state);
            }
            true
        }
        Err(error) => {
            tracing::warn!(%error, "could not be done: {what}");
            false
        }
    }
}

fn describe(rotate: &RotateKey) -> String {
    match rotate {
        RotateKey::Publish { key, .. } => format!("published key {}, which shall sign next", key.kid),
        RotateKey::Activate { kid, replaces } => {
            format!("key {kid} signs from now on, in place of {replaces}")
        }
        RotateKey::Confirm { kid, .. } => format!("this node has unsealed key {kid}"),
        RotateKey::Retire { kid, .. } => format!("key {kid} has retired: its last token is gone"),
        RotateKey::Cancel { kid } => format!("gave up key {kid}"),
        RotateKey::Taint { kid, .. } => format!("tainted key {kid}"),
    }
}

/// The key that a step concerns, and what becomes of it; `None` where nothing does.
fn step(rotate: &RotateKey) -> Option<(KeyId, &'static str)> {
    match rotate {
        RotateKey::Publish { key, .. } => Some((key.kid.clone(), "published")),
        RotateKey::Activate { kid, .. } => Some((kid.clone(), "active")),
        RotateKey::Retire { kid, .. } | RotateKey::Cancel { kid } => Some((kid.clone(), "retired")),
        RotateKey::Taint { kid, .. } => Some((kid.clone(), "tainted")),
        RotateKey::Confirm { .. } => None,
    }
}

/// The audit line of what the node did by itself.
pub(crate) fn record(cluster: &Cluster, audit: &Audit, change: Change, kid: &KeyId, state: &str) {
    if cluster.published().view.config().audit_enabled {
        let data = json!({"changed": {"kid": kid.as_str(), "state": state}});
        audit.record(&Line::by_node(change, Entity::Key, kid.as_str(), data));
    }
}

/// That this node has unsealed the published key, if it has and has not said so yet.
fn confirmation(cluster: &Cluster, view: &State, unsealable: &mut Option<KeyId>) -> Option<RotateKey> {
    let node = cluster.status().id;
    let key = duty::unconfirmed(view, node)?;
    match cluster.keys().signing_key(view, &key.kid) {
        Ok(_) => Some(RotateKey::Confirm { kid: key.kid.clone(), node }),
        Err(error) => {
            if unsealable.as_ref() != Some(&key.kid) {
                tracing::error!(kid = %key.kid, %error, "this node can't unseal the key that shall sign next");
                *unsealable = Some(key.kid.clone());
            }
            None
        }
    }
}

/// What the leader has to do, if anything.
async fn due(cluster: &Cluster, view: &State) -> Option<RotateKey> {
    if let Duty::Step(rotate) = duty::of_leader(view, cluster.now().millis())? {
        return Some(rotate);
    }
    let active = view.active_key()?;
    let made = make(cluster, view, active.algorithm).await;
    let key =
        made.inspect_err(|error| tracing::error!(%error, "a new signing key could not be made")).ok()?;
    Some(RotateKey::Publish { key: Box::new(key), replaces: active.kid.clone(), overlap_secs: None })
}

/// A new key of this cluster, sealed.
pub(crate) async fn make(cluster: &Cluster, view: &State, algorithm: Algorithm) -> Result<NewKey, NotMade> {
    let kind = match algorithm {
        Algorithm::EdDsa => TokenKeyKind::EdDsa,
        _ => TokenKeyKind::Rs256,
    };
    let named = view.service_id().map(ToString::to_string).unwrap_or_default();
    // An RSA key takes some hundred milliseconds.
    let made =
        tokio::task::spawn_blocking(move || certificates::token_issuer(kind, &named, clock::wall_ms()));
    let pair = made.await.map_err(|_| CertificateProblem::BrokenOff)??;
    sealed(cluster, view, &pair, KeyOrigin::Made)
}

/// A pair as the log takes it: its certificate taken apart, its private half sealed.
pub(crate) fn sealed(
    cluster: &Cluster,
    view: &State,
    pair: &KeyAndCertificate,
    origin: KeyOrigin,
) -> Result<NewKey, NotMade> {
    let facts = read_certificate(&pair.certificate).map_err(CertificateProblem::from)?;
    let which = SealedKind::TokenKey(facts.key_id.clone());
    Ok(NewKey {
        private_key: cluster.keys().seal(view, &which, &pair.private_key)?,
        kid: facts.key_id,
        algorithm: facts.algorithm,
        certificate_der: facts.der,
        spki_der: facts.spki_der,
        origin,
    })
}
