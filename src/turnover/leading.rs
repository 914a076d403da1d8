//! The leader's part: it seals the secrets under the next master key, has it take its place, and replaces what lost nodes
//! knew. Each step is read off the view, so whoever leads next goes on where the one before has ended.

use std::time::Duration;

use circlet_authority::{
    Action, Actor, ClusterCa, KeyState, NextMasterKey, ReplaceSecrets, SealedKind, State,
};
use serde_json::{Value, json};

use super::driving::{self, Due, LOST_PATIENCE_SECS};
use super::keeping::announce;
use super::{NotTurned, Turnover};
use crate::audit::{Change, Entity, Line};
use crate::certificates;
use crate::clock;
use crate::rotation;
use crate::seal::hex;
use crate::secret::Secret;

const REFRESH_SECRET_BYTES: usize = 32;

/// Takes the next step, if there is one.
pub(super) async fn lead(turnover: &Turnover, view: &State) -> Result<(), NotTurned> {
    match driving::due(view, turnover.cluster.now().millis()) {
        None => Ok(()),
        Some(Due::Turn(next)) => {
            // An audit log that can't be written holds up what can wait, and nothing that a thief would profit from.
            let can_wait = view.lost_nodes_pending().next().is_none();
            if can_wait && turnover.audit.admit_write().is_err() {
                return Err(NotTurned::Other("the audit log can't be written".to_owned()));
            }
            drive(turnover, view, next).await
        }
        Some(Due::Announce(present)) => {
            let custody = turnover.custody();
            let announced = announce(&custody, Actor::System, present, LOST_PATIENCE_SECS).await?;
            let data = json!({"added": {"fingerprint": hex(&announced.0), "replaces": hex(&present)}});
            record(turnover, Change::Created, "master-key", data);
            Ok(())
        }
        Some(Due::Replace) => replace_secrets(turnover, view).await,
    }
}

async fn drive(turnover: &Turnover, view: &State, next: &NextMasterKey) -> Result<(), NotTurned> {
    let former = view.master_key_fingerprint().map(|former| hex(&former));
    if driving::drive(&turnover.custody(), view, next).await?.is_some() {
        let data = json!({"changed": {"fingerprint": hex(&next.fingerprint), "former": former}});
        record(turnover, Change::Updated, "master-key", data);
    }
    Ok(())
}

/// Another CA, refresh secret and signing key in the place of those that lost nodes knew.
async fn replace_secrets(turnover: &Turnover, view: &State) -> Result<(), NotTurned> {
    let cluster = &turnover.cluster;
    let service_id = view.service_id().map(ToString::to_string).unwrap_or_default();
    let lifetime = Duration::from_secs(u64::try_from(view.config().ca_lifetime).unwrap_or(0));
    let ca = certificates::cluster_ca(&service_id, clock::wall_ms(), lifetime)?;
    let algorithm = view.active_algorithm().ok_or_else(|| NotTurned::Other("no key signs".to_owned()))?;
    let key = rotation::make(cluster, view, algorithm).await?;
    let kid = key.kid.clone();
    let refresh_secret = Secret::random(REFRESH_SECRET_BYTES);
    let replace = ReplaceSecrets {
        ca_replaces: view.cluster_ca_certificate().unwrap_or_default().to_vec(),
        ca: ClusterCa {
            private_key: cluster.keys().seal(view, &SealedKind::ClusterCa, &ca.private_key)?,
            certificate_der: ca.certificate,
        },
        refresh_secret: cluster.keys().seal(view, &SealedKind::RefreshSecret, &refresh_secret)?,
        key,
    };
    let index = turnover.decide(Action::ReplaceSecrets(Box::new(replace))).await?;
    tracing::warn!(%kid, index, "what a lost node knew has been replaced: every token of before is refused");
    let known = |state| matches!(state, KeyState::Published | KeyState::Active | KeyState::Retiring);
    for key in view.keyring().filter(|key| known(key.state)) {
        let data = json!({"changed": {"kid": key.kid.as_str(), "state": "tainted"}});
        record(turnover, Change::Updated, key.kid.as_str(), data);
    }
    let data = json!({"changed": {"kid": kid.as_str(), "state": "active"}});
    record(turnover, Change::Created, kid.as_str(), data);
    record(turnover, Change::Updated, "cluster-ca", json!({"changed": {"ca": "replaced"}}));
    let ended = "refresh, reference and join tokens of before";
    record(
        turnover,
        Change::Updated,
        "refresh-secret",
        json!({"changed": {"refresh-secret": "replaced", "ended": ended}}),
    );
    for lost in view.lost_nodes_pending() {
        let data = json!({"changed": {"id": lost.id, "name": lost.name, "state": "lost", "replaced": index}});
        record_node(turnover, &lost.name, data);
    }
    Ok(())
}

fn record(turnover: &Turnover, change: Change, name: &str, data: Value) {
    if turnover.cluster.published().view.config().audit_enabled {
        turnover.audit.record(&Line::by_node(change, Entity::Key, name, data));
    }
}

fn record_node(turnover: &Turnover, name: &str, data: Value) {
    if turnover.cluster.published().view.config().audit_enabled {
        turnover.audit.record(&Line::by_node(Change::Updated, Entity::Node, name, data));
    }
}
