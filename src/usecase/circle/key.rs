//! Our circle key on its way to the next one, and what members say under theirs.

use circlet_authority::{Action, Actor, Outcome, ReplaceCircleKey, Sealed, SealedKind, State};
use circlet_token::feed::{CirclePublicKey, FeedPosition, Succession};
use circlet_token::{ServiceId, SigningKey};
use serde_json::json;

use super::super::failure::{Code, Failure};
use super::super::{Session, reading};
use crate::audit::{Change, Entity};
use crate::circle::serve;
use crate::cluster::Cluster;
use crate::invitation;
use crate::secret::Secret;

/// Replaces our circle key. The present one signs which is next; members that follow us learn it inside the chain.
pub(crate) async fn rotate(session: &Session<'_>) -> Result<(String, u64), Failure> {
    session.require_admin("replace the circle key").await?;
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    if view.circle_key().is_none() {
        return Err(Failure::new(Code::NotFound, "no_circle_key", "this cluster has no circle key yet")
            .with_detail("it gets one with its first `circlet circle invite` or `circlet circle accept`"));
    }
    let internal = |why: String| Failure::new(Code::Internal, "sealed", "Internal error").with_detail(why);
    let present = session.cluster.keys().circle_key(view).map_err(|error| internal(error.to_string()))?;
    let issuer = view.service_id().ok_or_else(|| internal("there is no cluster".to_owned()))?;
    let (key, private_key) = new_key(session, view)?;
    let succession = CirclePublicKey::of(&key).and_then(|next| Succession::sign(&present, issuer, next));
    let succession = succession.ok_or_else(|| internal("the circle key is no Ed25519 key".to_owned()))?;
    let fingerprint = invitation::fingerprint(&key.spki_der());
    let replace = ReplaceCircleKey { succession, private_key };
    let decided = session.decide(Action::ReplaceCircleKey(Box::new(replace))).await?;
    tracing::info!(circle_key = fingerprint, "circle key replaced");
    session.record(
        Change::Updated,
        Entity::Trust,
        issuer.as_str(),
        json!({"changed": {"circleKey": fingerprint}}),
    )?;
    Ok((fingerprint, decided.index))
}

/// A circle key, and its private half as the state keeps it.
pub(super) fn new_key(session: &Session<'_>, view: &State) -> Result<(SigningKey, Sealed), Failure> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    rand::fill(&mut *seed);
    let key = SigningKey::from_ed25519_seed(&seed);
    let secret = Secret::new(key.to_pkcs8_der().to_vec());
    let sealed = session.cluster.keys().seal(view, &SealedKind::CircleKey, &secret);
    let sealed = sealed.map_err(|error| {
        Failure::unavailable("key_unavailable", "this node cannot use the cluster's keys")
            .with_detail(error.to_string())
    })?;
    Ok((key, sealed))
}

/// Has the cluster note that a member has taken over our feed up to a point, if a key waits for that and the member's
/// circle key signed it. Whoever says so is answered in any case: nothing depends on it but how long the key waits.
pub(crate) async fn note_taken(cluster: &Cluster, member: &ServiceId, at: FeedPosition, signature: &[u8]) {
    let Some(note) = serve::note(&cluster.published().view, member, at, signature) else { return };
    match cluster
        .decide_for_itself(Actor::System, Action::NoteTaken(note))
        .await
        .map(|decided| decided.outcome)
    {
        Ok(Outcome::Done) => {
            tracing::info!(%member, "a member of the circle has taken over the key that shall sign next");
        }
        Ok(outcome) => tracing::debug!(%member, ?outcome, "what a member has taken over was not noted"),
        Err(error) => tracing::debug!(%member, %error, "what a member has taken over could not be noted"),
    }
}
