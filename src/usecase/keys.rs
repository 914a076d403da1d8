//! The cluster's signing keys: seen, replaced, given up, tainted, let go.

use std::sync::Arc;

use circlet_authority::{Action, Key, KeyState, NewKey, Outcome, Refusal, RotateKey, State};
use circlet_raft::Published;
use circlet_token::{Algorithm, KeyId};
use serde_json::json;

use super::failure::{Code, Failure};
use super::{Session, reading, refusal};
use crate::audit::{Change, Entity};
use crate::rotation;

/// The name of the active key in a request.
const ACTIVE: &str = "active";
/// The name of the key that is published and shall sign next.
const NEXT: &str = "next";

/// What was decided about a key.
pub(crate) struct Turned {
    /// A view that holds it.
    pub(crate) published: Arc<Published<State>>,
    /// The key.
    pub(crate) kid: KeyId,
    /// The log index of the decision.
    pub(crate) index: u64,
}

/// A view with the keys, for administrators.
pub(crate) async fn read(session: &Session<'_>) -> Result<Arc<Published<State>>, Failure> {
    session.require_admin("see the signing keys").await?;
    reading::current(session.cluster).await
}

/// Makes the next key, of the present one's algorithm unless another is named, and publishes it. It signs by itself once
/// every node has unsealed it and the overlap is over.
pub(crate) async fn rotate(
    session: &Session<'_>,
    algorithm: Option<Algorithm>,
    overlap_secs: Option<u64>,
) -> Result<Turned, Failure> {
    session.require_admin("rotate the signing key").await?;
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    let active = view.active_key().ok_or_else(|| unknown(ACTIVE))?;
    // Refused before a key is made for nothing.
    if let Some(next) = view.next_key() {
        let under_way = Refusal::RotationUnderWay { kid: next.kid.clone() };
        return Err(refusal::failure(&under_way));
    }
    let key = make(session, view, algorithm.unwrap_or(active.algorithm)).await?;
    let (kid, replaces) = (key.kid.clone(), active.kid.clone());
    turn(session, kid, "published", RotateKey::Publish { key: Box::new(key), replaces, overlap_secs }).await
}

/// Gives up the published key before it signs.
pub(crate) async fn cancel(session: &Session<'_>, named: &str) -> Result<Turned, Failure> {
    session.require_admin("give up a signing key").await?;
    let kid = find(&reading::fresh(session.cluster).await?.view, named)?.kid.clone();
    turn(session, kid.clone(), "retired", RotateKey::Cancel { kid }).await
}

/// Refuses at once whatever a key has signed. In place of the active key the published one signs, or a new one.
pub(crate) async fn taint(session: &Session<'_>, named: &str) -> Result<Turned, Failure> {
    session.require_admin("taint a signing key").await?;
    let published = reading::fresh(session.cluster).await?;
    let view = &published.view;
    let key = find(view, named)?;
    // It may be active under another certificate; whether the new key is needed is for the log to say.
    let next = match key.state {
        KeyState::Tainted | KeyState::Retired => None,
        _ => Some(Box::new(make(session, view, key.algorithm).await?)),
    };
    let kid = key.kid.clone();
    // Like a revoke, it doesn't wait for an audit log that can't be written.
    let action = Action::RotateKey(Box::new(RotateKey::Taint { kid: kid.clone(), next }));
    let decided = session.cluster.decide(session.actor()?, action).await;
    let decided = decided.map_err(|error| refusal::unavailable(&error))?;
    if let Outcome::Refused(refused) = decided.outcome {
        return Err(refusal::failure(&refused));
    }
    note(session, Change::Updated, &kid, "tainted")?;
    Ok(Turned { published: session.published(), kid, index: decided.index })
}

/// Lets a replaced key go, although tokens from before its adoption are not known here: the caller vouches for them.
pub(crate) async fn retire(session: &Session<'_>, named: &str) -> Result<Turned, Failure> {
    session.require_admin("let a signing key retire").await?;
    let kid = find(&reading::fresh(session.cluster).await?.view, named)?.kid.clone();
    turn(session, kid.clone(), "retired", RotateKey::Retire { kid, vouched: true }).await
}

async fn make(session: &Session<'_>, view: &State, algorithm: Algorithm) -> Result<NewKey, Failure> {
    rotation::make(session.cluster, view, algorithm).await.map_err(|error| {
        Failure::new(Code::Internal, "key_not_made", "a new signing key could not be made")
            .with_detail(error.to_string())
    })
}

async fn turn(
    session: &Session<'_>,
    kid: KeyId,
    state: &'static str,
    rotate: RotateKey,
) -> Result<Turned, Failure> {
    let is_new = matches!(rotate, RotateKey::Publish { .. });
    let decided = session.decide(Action::RotateKey(Box::new(rotate))).await?;
    note(session, if is_new { Change::Created } else { Change::Updated }, &kid, state)?;
    Ok(Turned { published: session.published(), kid, index: decided.index })
}

fn note(session: &Session<'_>, change: Change, kid: &KeyId, state: &'static str) -> Result<(), Failure> {
    tracing::info!(%kid, %state, "signing key changed");
    session.record(
        change,
        Entity::Key,
        kid.as_str(),
        json!({"changed": {"kid": kid.as_str(), "state": state}}),
    )
}

/// The key with this id, or the one that is `active`, or `next`.
pub(crate) fn find<'a>(view: &'a State, named: &str) -> Result<&'a Key, Failure> {
    let key = match named {
        ACTIVE => view.active_key().map(AsRef::as_ref),
        NEXT => view.next_key(),
        id => KeyId::parse(id).ok().and_then(|kid| view.key(&kid)).map(AsRef::as_ref),
    };
    key.ok_or_else(|| unknown(named))
}

fn unknown(named: &str) -> Failure {
    Failure::not_found(format!("no signing key has the id '{named}', nor is one called so (active, next)"))
}
