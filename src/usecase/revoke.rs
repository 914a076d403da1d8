//! Revoking, by id or by value. What can't be revoked is refused and never reported as done.
//!
//! With `cascade` what was created with the token ends as well. One command ends a bounded number of tokens, so the same
//! is decided again until none is left; only then is it answered.

use circlet_authority::{
    Action, Descendants, FamilyId, Outcome, PresentedToken, Refusal, RevokeTarget, RevokeToken, Revoked,
};
use circlet_token::{Claims, KeyId, TokenId};
use serde_json::json;

use super::failure::{Code, Failure};
use super::{Session, forward, reading, refresh, refusal};
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
    /// What became of the tokens that were created with it, if that was asked for.
    pub(crate) descendants: Option<Descendants>,
    /// The log index of the decision.
    pub(crate) index: u64,
}

/// Revokes the token with this id, or has the member that is named as its issuer revoke it; `Ok(None)` if nobody knows it.
pub(crate) async fn by_id(
    session: &Session<'_>,
    id: TokenId,
    issuer: Option<&str>,
    cascade: bool,
) -> Result<Option<Ended>, Failure> {
    session.actor()?;
    if let Some(named) = issuer {
        let member = forward::named_issuer(session, named).await?;
        return forward::ask_issuer(session, &member, id, cascade).await;
    }
    carry_out(session, RevokeToken { target: RevokeTarget::Id(id), cascade }).await
}

/// Revokes an access token, a reference token or the family of a refresh token by its value; `Ok(None)` if it is
/// none of ours or unknown. With `circle.forward-revoke` the issuer of a paired cluster's token is asked.
pub(crate) async fn by_value(
    session: &Session<'_>,
    text: &str,
    cascade: bool,
) -> Result<Option<Ended>, Failure> {
    session.actor()?;
    if let Some((member, id)) = forward::issuer_of(session, text).await? {
        return forward::ask_issuer(session, &member, id, cascade).await;
    }
    match target(session, text).await? {
        Some(target) => carry_out(session, RevokeToken { target, cascade }).await,
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

/// Revokes, and goes on until nothing is left that was to end with it.
async fn carry_out(session: &Session<'_>, revoke: RevokeToken) -> Result<Option<Ended>, Failure> {
    let Some((first, mut index)) = decide(session, &revoke).await? else { return Ok(None) };
    let mut found = first.descendants;
    while found.more {
        let Some((next, at)) = decide(session, &revoke).await? else { break };
        found.ended = found.ended.saturating_add(next.descendants.ended);
        found.living = found.living.saturating_add(next.descendants.living);
        found.more = next.descendants.more;
        index = at;
    }
    Ok(Some(ended(session, first, revoke.cascade.then_some(found), index)))
}

async fn decide(session: &Session<'_>, revoke: &RevokeToken) -> Result<Option<(Revoked, u64)>, Failure> {
    let actor = session.actor()?;
    // Not asked whether it can be audited: a token that must go is worth more than the line about it, which waits in
    // memory, or in the node's own log if it must.
    let action = Action::RevokeToken(Box::new(revoke.clone()));
    let decided =
        session.cluster.decide(actor, action).await.map_err(|error| refusal::unavailable(&error))?;
    match decided.outcome {
        Outcome::Revoked(revoked) => Ok(Some((*revoked, decided.index))),
        Outcome::NotFound { .. } => Ok(None),
        Outcome::Refused(refused) => match *refused {
            Refusal::UnknownToken { .. } | Refusal::RefreshUnknown => Ok(None),
            other => Err(refusal::failure(&other)),
        },
        _ => Err(Failure::new(Code::Internal, "internal", "Internal error")),
    }
}

fn ended(session: &Session<'_>, revoked: Revoked, descendants: Option<Descendants>, index: u64) -> Ended {
    let mut notes = vec![revoked.note.to_string()];
    if let Some(Descendants { living, .. }) = descendants.filter(|found| found.living > 0) {
        notes.push(format!(
            "{living} of the tokens created with it are not revocable and live to their expiry"
        ));
    }
    notes.retain(|text| !text.is_empty());
    let note = Some(notes.join("; ")).filter(|text| !text.is_empty());
    let already = revoked.already && descendants.is_none_or(|found| found.ended == 0);
    if !already {
        let ended = descendants.map_or(0, |found| found.ended);
        session.counts.revoked(ended.saturating_add(revoked.ids.len() as u64));
        let ids: Vec<String> = revoked.ids.iter().map(ToString::to_string).collect();
        let name = ids.first().cloned().unwrap_or_else(|| "refresh-token".to_owned());
        let mut removed = json!({"ids": ids, "note": note});
        if let (Some(found), Some(object)) = (descendants, removed.as_object_mut()) {
            object.insert("descendants".to_owned(), found.ended.into());
        }
        session.write_line(Change::Deleted, Entity::Token, &name, json!({"removed": removed}));
    }
    Ended { ids: revoked.ids, already, note, descendants, index }
}
