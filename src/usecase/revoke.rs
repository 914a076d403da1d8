//! Revoking, by id or by value. What can't be revoked is refused and never reported as done.

use circlet_authority::{
    Action, FamilyId, Outcome, PresentedToken, Refusal, RevokeTarget, RevokeToken, Revoked,
};
use circlet_token::{Claims, KeyId, TokenId};
use serde_json::json;

use super::failure::{Code, Failure};
use super::{Session, reading, refresh, refusal};
use crate::audit::{Change, Entity};
use crate::reference_token;

/// What came of a revoke.
pub(crate) struct Ended {
    /// The access tokens that are refused from now on.
    pub(crate) ids: Vec<TokenId>,
    /// It had been revoked before.
    pub(crate) already: bool,
    /// What an operator should know, if anything.
    pub(crate) note: Option<String>,
    /// The log index of the decision.
    pub(crate) index: u64,
}

/// Revokes the token with this id; `Ok(None)` if nobody knows it.
pub(crate) async fn by_id(session: &Session<'_>, id: TokenId) -> Result<Option<Ended>, Failure> {
    session.actor()?;
    decide(session, RevokeTarget::Id(id)).await
}

/// Revokes an access token, a reference token or the family of a refresh token by its value; `Ok(None)` if it is
/// none of ours or unknown.
pub(crate) async fn by_value(session: &Session<'_>, text: &str) -> Result<Option<Ended>, Failure> {
    session.actor()?;
    match target(session, text).await? {
        Some(target) => decide(session, target).await,
        None => Ok(None),
    }
}

async fn target(session: &Session<'_>, text: &str) -> Result<Option<RevokeTarget>, Failure> {
    if reference_token::looks_like_one(text) {
        let Some(presented) = reference_token::read(text) else { return Ok(None) };
        let holds = |view: &circlet_authority::State| view.reference(&presented.hash).is_some();
        let published = reading::holding(session.cluster, holds).await?;
        let id = published.and_then(|published| published.view.reference(&presented.hash));
        return Ok(id.map(RevokeTarget::Id));
    }
    if text.contains('.') {
        return match refresh::presented(session, text).await {
            Ok((claims, key)) => {
                Ok(presented_token(claims, key).map(|token| RevokeTarget::Value(Box::new(token))))
            }
            // Issued elsewhere is said so; what nobody signed is unknown.
            Err(failure) if failure.code() == Code::Unauthorized => Ok(None),
            Err(failure) => Err(failure),
        };
    }
    match refresh::read_refresh_token(session, text).await {
        Ok(fields) => {
            Ok(Some(RevokeTarget::Family { family: FamilyId(fields.family), sequence: fields.sequence }))
        }
        Err(failure) if failure.code() == Code::RefreshUnknown => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn presented_token(claims: Claims, key: KeyId) -> Option<PresentedToken> {
    Some(PresentedToken {
        id: claims.id?,
        subject: claims.subject,
        key,
        issued_at: claims.issued_at,
        expires_at: claims.expires_at,
        revocable: claims.revocable,
        index: claims.index,
    })
}

async fn decide(session: &Session<'_>, target: RevokeTarget) -> Result<Option<Ended>, Failure> {
    let actor = session.actor()?;
    // Not asked whether it can be audited: a token that must go is worth more than the line about it, which waits in
    // memory, or in the node's own log if it must.
    let action = Action::RevokeToken(Box::new(RevokeToken { target }));
    let decided =
        session.cluster.decide(actor, action).await.map_err(|error| refusal::unavailable(&error))?;
    match decided.outcome {
        Outcome::Revoked(revoked) => Ok(Some(ended(session, *revoked, decided.index))),
        Outcome::NotFound { .. } => Ok(None),
        Outcome::Refused(refused) => match *refused {
            Refusal::UnknownToken { .. } | Refusal::RefreshUnknown => Ok(None),
            other => Err(refusal::failure(&other)),
        },
        _ => Err(Failure::new(Code::Internal, "internal", "Internal error")),
    }
}

fn ended(session: &Session<'_>, revoked: Revoked, index: u64) -> Ended {
    let note = Some(revoked.note.to_string()).filter(|text| !text.is_empty());
    if !revoked.already {
        let ids: Vec<String> = revoked.ids.iter().map(ToString::to_string).collect();
        let name = ids.first().cloned().unwrap_or_else(|| "refresh-token".to_owned());
        session.write_line(
            Change::Deleted,
            Entity::Token,
            &name,
            json!({"removed": {"ids": ids, "note": note}}),
        );
    }
    Ended { ids: revoked.ids, already: revoked.already, note, index }
}
