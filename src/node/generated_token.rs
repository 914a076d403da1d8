//! `etc/keys/generate.token.json`: a first token without any credential, for those who set up machines by files
//! (contract section 1.11).
//!
//! When a node starts with that file in place, it writes `token.json` beside it, readable by its owner alone, and removes
//! the trigger. The token administers this cluster for a quarter of an hour; its file goes after
//! `security.bootstrap-token-delete-in-minutes`.

use std::path::Path;
use std::time::Duration;

use circlet_authority::{Action, Actor, Generation, IssueToken, Outcome};
use circlet_token::{Audience, Lifetime, Scope, Subject, TokenId, UserName};
use serde_json::json;

use crate::audit::{Audit, Change, Entity, Line};
use crate::cluster::Cluster;
use crate::home::{self, Paths};
use crate::secret::Secret;
use tokio::time::Instant;

/// How long the token lives.
const LIFETIME_SECS: u64 = 15 * 60;
/// How often the cluster's setting is asked whether the file has stayed long enough.
const LOOK: Duration = Duration::from_millis(500);
/// After the cluster could not decide, before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Does what the trigger asks for, if it is there, and removes the token's file when its time has come.
pub(super) async fn run(cluster: Cluster, paths: Paths, audit: Audit) {
    let (trigger, file) = (paths.generate_token(), paths.generated_token());
    if trigger.symlink_metadata().is_ok() {
        let text = loop {
            match issue(&cluster, &audit).await {
                Ok(text) => break text,
                Err(error) => {
                    tracing::warn!(%error, "the token that generate.token.json asks for has to wait");
                }
            }
            tokio::time::sleep(RETRY).await;
        };
        if let Err(error) = hand_over(&text, &file, &trigger) {
            tracing::error!(%error, "the token that generate.token.json asks for can't be handed over");
            return;
        }
        tracing::info!(file = %file.display(), "a token was generated, as generate.token.json asks for");
    }
    // An earlier run may have left it behind.
    if file.exists() {
        remove_later(&file, || stays(&cluster)).await;
    }
}

/// The token first, then the trigger: what is broken off in between gives one token more, and never none.
fn hand_over(token: &Secret, file: &Path, trigger: &Path) -> Result<(), String> {
    let written =
        json!({ "token": token.expose_text(), "token_type": "Bearer", "expires_in": LIFETIME_SECS });
    let text = Secret::from(format!("{written}\n"));
    home::write_secret(file, text.expose()).map_err(|error| error.to_string())?;
    std::fs::remove_file(trigger).map_err(|error| format!("{}: {error}", trigger.display()))
}

/// How long the cluster wants the file to stay.
fn stays(cluster: &Cluster) -> Duration {
    let minutes = cluster.published().view.config().bootstrap_token_delete_minutes;
    Duration::from_mins(u64::try_from(minutes).unwrap_or(0))
}

/// The setting may change while the file is there.
async fn remove_later(file: &Path, stays: impl Fn() -> Duration) {
    let begun = Instant::now();
    while begun.elapsed() < stays() {
        tokio::time::sleep(LOOK).await;
    }
    match std::fs::remove_file(file) {
        Ok(()) => tracing::info!(file = %file.display(), "the generated token's file was removed"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "the generated token's file could not be removed");
        }
    }
}

async fn issue(cluster: &Cluster, audit: &Audit) -> Result<Secret, Box<dyn std::error::Error + Send + Sync>> {
    audit.admit_write()?;
    let published = cluster.fresh().await?;
    let own = published.view.service_id().ok_or("the cluster has no service id yet")?.clone();
    let issue = IssueToken {
        id: TokenId(uuid::Builder::from_random_bytes(rand::random()).into_uuid().into_bytes()),
        generation: Generation::Access,
        subject: Subject::user(&own, &UserName::parse("admin")?),
        scope: Scope::parse("applied-permissions/admin")?,
        audience: Audience::parse("jfac@*")?,
        lifetime: Lifetime::from_secs(LIFETIME_SECS),
        force_revocable: false,
        description: Some("generate.token.json".to_owned()),
        reference: None,
        family: None,
        owner: None,
        idempotency: None,
        request_digest: rand::random(),
    };
    let decided = cluster.decide(Actor::System, Action::IssueToken(Box::new(issue))).await?;
    let record = match decided.outcome {
        Outcome::Issued(record) => record,
        Outcome::Refused(refusal) => return Err(refusal.into()),
        other => return Err(format!("unexpected outcome of issuing a token: {other:?}").into()),
    };
    let view = &cluster.published().view;
    let token = cluster.keys().mint(view, &record.claims(&own), &record.kid)?;
    if view.config().audit_enabled {
        let id = record.id.to_string();
        let data = json!({"added": {"id": id, "subject": record.subject.as_str(), "scope": "applied-permissions/admin"}});
        audit.record(&Line::by_node(Change::Created, Entity::Token, &id, data));
    }
    Ok(Secret::from(token))
}

#[cfg(test)]
mod tests {
    use super::{hand_over, remove_later};
    use crate::secret::Secret;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn the_token_is_for_its_owner_and_for_as_long_as_the_cluster_says() {
        let folder = tempfile::tempdir().unwrap();
        let (file, trigger) = (folder.path().join("token.json"), folder.path().join("generate.token.json"));
        std::fs::write(&trigger, "").unwrap();
        hand_over(&Secret::from("a.b.c".to_owned()), &file, &trigger).unwrap();
        assert!(!trigger.exists());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!(written["token"], "a.b.c");
        let minutes = AtomicU64::new(10);
        let stays = || Duration::from_mins(minutes.load(Ordering::Relaxed));
        let removed = remove_later(&file, stays);
        tokio::pin!(removed);
        let early = tokio::time::timeout(Duration::from_millis(20), &mut removed).await;
        assert!(early.is_err() && file.exists(), "it stays for ten minutes");
        minutes.store(0, Ordering::Relaxed);
        removed.await;
        assert!(!file.exists());
        remove_later(&file, || Duration::ZERO).await;
    }
}
