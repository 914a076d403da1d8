//! Refreshing: one refresh token, used once, and the same answer for the same request within the replay window.
//!
//! The pair of refresh token and access token is a credential of its own: the access token may have expired or been
//! rotated out, since only its signature and its id count here; whether the two belong together is decided by the
//! log. Whatever the request wants changed needs a credential beyond the pair.

use circlet_authority::{
    Action, Actor, FamilyId, Generation, Outcome, RefreshOverrides, RefreshToken, Refusal, State, TokenRecord,
};
use circlet_token::{
    Audience, Claims, Lifetime, Parsed, Reject, Scope, ServiceId, TokenId, verify_signature,
};
use serde_json::json;

use super::failure::{Code, Failure};
use super::issue::{Handout, draw_id, hand_out, own_id, reference_hash, refresh_secret, unknown_groups};
use super::{Session, reading, refusal};
use crate::audit::{Change, Entity};
use crate::authenticate::{reference, tokens};
use crate::reference_token;
use crate::refresh_token::RefreshFields;

mod asked;

use asked::Asked;

/// What a refresh may bring without a credential beyond the pair; clients send the last two out of habit.
pub(crate) const PAIR_PARAMETERS: [&str; 5] =
    ["access_token", "grant_type", "refresh_token", "refreshable", "include_reference_token"];

/// What a refresh brings and asks for.
pub(crate) struct RefreshOrder {
    pub(crate) refresh_token: String,
    /// The access token of the pair, if one came with it.
    pub(crate) access_token: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) lifetime: Option<Lifetime>,
    pub(crate) reference: bool,
}

impl RefreshOrder {
    /// Whether nothing but the pair was sent.
    pub(crate) fn is_pair(&self) -> bool {
        self.access_token.is_some()
            && self.scope.is_none()
            && self.audience.is_none()
            && self.lifetime.is_none()
    }
}

/// Uses a refresh token.
pub(crate) async fn refresh(session: &Session<'_>, order: &RefreshOrder) -> Result<Handout, Failure> {
    if let Some(text) = &order.access_token {
        refuse_foreign(session, text).await?;
    }
    let fields = read_refresh_token(session, &order.refresh_token).await?;
    let access = match &order.access_token {
        Some(text) => Some(presented_id(session, &fields, text).await?),
        None => None,
    };
    let published = reading::current(session.cluster).await?;
    let current = family_record(&published.view, &fields);
    let overrides = overrides(order, current)?;
    let other_scope = overrides.scope.clone();
    let successor_id = draw_id();
    let reference =
        if order.reference { Some(reference_hash(session, &published.view, &successor_id)?) } else { None };
    let actor = session.caller.actor().unwrap_or(Actor::RefreshPair);
    let asked = Asked {
        refresh_token: &order.refresh_token,
        access,
        scope: order.scope.as_deref(),
        audience: order.audience.as_deref(),
        lifetime: order.lifetime,
        reference: order.reference,
    };
    let action = RefreshToken {
        family: FamilyId(fields.family),
        sequence: fields.sequence,
        access,
        request_digest: asked.digest(&actor),
        successor_id,
        reference,
        overrides,
    };
    let decided =
        session.decide_as(actor, Action::RefreshToken(Box::new(action))).await.map_err(of_nobody)?;
    let Outcome::Refreshed { record, sequence: _, replay } = decided.outcome else {
        return Err(Failure::new(Code::Internal, "internal", "Internal error"));
    };
    let mut handout = hand_out(session, &record, Some(decided.index))?;
    // Only an administrator changes the scope, and is warned of a group that isn't there, as at a create.
    let view = &session.published().view;
    handout.warning = other_scope.and_then(|scope| unknown_groups(session, view, &scope));
    session.counts.refreshed(replay);
    let data = json!({"refreshed": {
        "id": record.id.to_string(),
        "predecessor": access.map(|id| id.to_string()),
        "family": FamilyId(fields.family).to_string(),
        "subject": record.subject.as_str(),
        "scope": record.scope.as_str(),
        "repeated": replay,
    }});
    session.record(Change::Updated, Entity::Token, record.subject.as_str(), data)?;
    Ok(handout)
}

/// Whoever is gone has no rights of the own to refresh, though the realm would let others be refreshed: to a client that is
/// an owner who is gone (contract section 1.4).
fn of_nobody(failure: Failure) -> Failure {
    if failure.reason() != "unknown_user" {
        return failure;
    }
    Failure::new(Code::InvalidGrant, "owner_unknown", "Cannot refresh token, token owner does not exist")
}

/// Whether this access token's id is the one that the refresh token can be used with, or was used with last. A view
/// may not have heard of the latest refresh, so "no" counts only on a fresh one.
pub(crate) async fn belong_together(
    session: &Session<'_>,
    refresh_token: &str,
    access: &TokenId,
) -> Result<bool, Failure> {
    let published = reading::current(session.cluster).await?;
    let Some(fields) = refresh_secret(session, &published.view)?.refresh_tokens.read(refresh_token) else {
        return Ok(false);
    };
    let holds = |view: &State| is_latest(view, &fields, access);
    Ok(reading::holding(session.cluster, holds).await?.is_some())
}

fn is_latest(view: &State, fields: &RefreshFields, access: &TokenId) -> bool {
    view.family(&FamilyId(fields.family)).is_some_and(|family| {
        family.current == *access
            || family.replay.as_ref().is_some_and(|replay| replay.predecessor == *access)
    })
}

/// A refresh token is known by its MAC; one that isn't might be of a secret that this view has not heard of.
pub(super) async fn read_refresh_token(session: &Session<'_>, text: &str) -> Result<RefreshFields, Failure> {
    let published = reading::current(session.cluster).await?;
    if let Some(fields) = refresh_secret(session, &published.view)?.refresh_tokens.read(text) {
        return Ok(fields);
    }
    let fresh = reading::fresh(session.cluster).await?;
    let secret = refresh_secret(session, &fresh.view)?;
    secret.refresh_tokens.read(text).ok_or_else(|| refusal::failure(&Refusal::RefreshUnknown))
}

/// A pair of another cluster is refused as that: its refresh token is unknown here as well, but to hear only so would
/// not tell its holder where to go.
async fn refuse_foreign(session: &Session<'_>, access: &str) -> Result<(), Failure> {
    let Ok(parsed) = Parsed::parse(access) else { return Ok(()) };
    let published = reading::current(session.cluster).await?;
    foreign(parsed.claims(), own_id(&published.view)?)
}

/// The id of an access token that is presented as one half of a pair: issued here, and unaltered.
async fn presented_id(session: &Session<'_>, fields: &RefreshFields, text: &str) -> Result<TokenId, Failure> {
    if reference_token::looks_like_one(text) {
        let hash = reference_token::read(text).map(|presented| presented.hash);
        let known = |view: &State| {
            let hash_of = |id: &TokenId| reference_hash(session, view, id).ok();
            reference::in_pair(view, &FamilyId(fields.family), &hash?, hash_of)
        };
        let published = reading::holding(session.cluster, |view| known(view).is_some()).await?;
        return published
            .and_then(|published| known(&published.view))
            .ok_or_else(|| refusal::failure(&Refusal::RefreshMismatch));
    }
    let claims = presented(session, text).await?.0;
    claims.id.ok_or_else(|| refusal::failure(&Refusal::RefreshMismatch))
}

/// The claims of one of our own tokens, whatever became of it since, and the key that signed them.
pub(super) async fn presented(
    session: &Session<'_>,
    text: &str,
) -> Result<(Claims, circlet_token::KeyId), Failure> {
    let parsed = Parsed::parse(text).map_err(|reject| tokens::failure(&reject))?;
    let published = reading::current(session.cluster).await?;
    let own = own_id(&published.view)?;
    foreign(parsed.claims(), own)?;
    let signed = match verify_signature(&parsed, published.view.key_set()) {
        Err(Reject::UnknownKey { .. }) => {
            let fresh = reading::fresh(session.cluster).await?;
            verify_signature(&parsed, fresh.view.key_set())
        }
        signed => signed,
    };
    let key = signed.map_err(|reject| tokens::failure(&reject))?;
    Ok((parsed.into_claims(), key))
}

/// Only the issuing cluster refreshes or revokes a token; the error names both (contract section 1.4).
fn foreign(claims: &Claims, own: &ServiceId) -> Result<(), Failure> {
    if claims.issuer.same_service(own) {
        return Ok(());
    }
    let id = claims.id.map(|id| id.to_string()).unwrap_or_default();
    Err(Failure::bad_request(
        "foreign_token",
        format!(
            "Provided access token with ID '{id}' was issued by a different service with ID '{}' (current service ID: '{own}')",
            claims.issuer
        ),
    ))
}

fn family_record<'a>(view: &'a State, fields: &RefreshFields) -> Option<&'a TokenRecord> {
    let family = view.family(&FamilyId(fields.family))?;
    view.token(&family.current).map(AsRef::as_ref)
}

/// What differs from the old token. Clients that repeat the old token's parameters change nothing.
fn overrides(order: &RefreshOrder, current: Option<&TokenRecord>) -> Result<RefreshOverrides, Failure> {
    let scope = match order.scope.as_deref() {
        Some(text) => Some(Scope::parse(text).map_err(|malformed| {
            Failure::new(
                Code::InvalidScope,
                "scope_unaccepted",
                format!("Unaccepted scope: '{}'", malformed.found),
            )
            .with_detail(format!("allowed is {}", malformed.allowed))
        })?),
        None => None,
    };
    let audience = match order.audience.as_deref() {
        Some(text) => Some(
            Audience::parse(text)
                .map_err(|malformed| Failure::bad_request("bad_audience", malformed.to_string()))?,
        ),
        None => None,
    };
    let Some(old) = current else {
        return Ok(RefreshOverrides { lifetime: order.lifetime, scope, audience });
    };
    Ok(RefreshOverrides {
        lifetime: order.lifetime.filter(|lifetime| *lifetime != old.lifetime),
        scope: scope.filter(|scope| *scope != old.scope),
        audience: audience.filter(|audience| *audience != old.audience),
    })
}

/// The lifetime that a refresh asks for, if it asks for one.
pub(crate) fn expires_in(generation: Generation, secs: Option<i64>) -> Result<Option<Lifetime>, Failure> {
    match (generation, secs) {
        // The vault plugin sends 0 with every refresh and means "as before" (contract section 1.6).
        (_, None) | (Generation::Access, Some(0)) => Ok(None),
        (_, Some(secs)) => u64::try_from(secs)
            .map(|secs| Some(Lifetime::from_secs(secs)))
            .map_err(|_| Failure::bad_request("bad_expires_in", format!("Invalid expires_in value: {secs}"))),
    }
}
