//! Whether to believe a token.
use crate::algorithm::Algorithm;
use crate::claims::Claims;
use crate::key_id::KeyId;
use crate::key_set::KeySet;
use crate::limits::LEEWAY_SECS_DEFAULT;
use crate::malformed::quoted;
use crate::parsed::Parsed;
use crate::public_key::PublicKey;
use crate::reject::Reject;
use crate::service_id::ServiceId;

/// Against what a token's claims are checked.
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// How far ahead `iat` and `nbf` may lie, in seconds. Expiry has no leeway.
    pub leeway: u64,
    /// The service that checks.
    pub audience: &'a ServiceId,
    /// Whether expiry counts.
    pub expiry: ExpiryRule,
    /// Whether the audience counts.
    pub audience_rule: AudienceRule,
}

/// Whether an expired token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryRule {
    /// It is.
    Enforce,
    /// It is not: an expired token still names the family that it belongs to.
    Ignore,
}

/// Whether a token for others is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudienceRule {
    /// It is.
    Enforce,
    /// It is not.
    Ignore,
}

impl<'a> Check<'a> {
    /// Everything enforced, as the service `audience` at the time `now` (seconds since 1970).
    #[must_use]
    pub fn new(now: u64, audience: &'a ServiceId) -> Self {
        Self {
            now,
            leeway: LEEWAY_SECS_DEFAULT,
            audience,
            expiry: ExpiryRule::Enforce,
            audience_rule: AudienceRule::Enforce,
        }
    }
}

/// A token that is believed, as far as keys, time and audience go. Whether it was revoked is for the one to say who knows
/// the revocations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// The key that signed it.
    pub key: KeyId,
    /// The algorithm of that key.
    pub algorithm: Algorithm,
}

/// Verifies a token: reads it, finds its key, checks the signature, then time and audience.
pub fn verify(token: &str, keys: &KeySet, check: &Check<'_>) -> Result<Verified, Reject> {
    let parsed = Parsed::parse(token)?;
    let key = signer(&parsed, keys)?;
    verify_claims(parsed.claims(), check)?;
    Ok(Verified { key: key.id().clone(), algorithm: key.algorithm(), claims: parsed.into_claims() })
}

/// The step that costs: who signed it. Errors: [`Reject::UnknownKey`], [`Reject::Algorithm`], [`Reject::Issuer`],
/// [`Reject::Subject`], [`Reject::Signature`]. To remember the answer, keep a [`SignatureFact`].
pub fn verify_signature(parsed: &Parsed<'_>, keys: &KeySet) -> Result<KeyId, Reject> {
    signer(parsed, keys).map(|key| key.id().clone())
}

/// The step that depends on time: expiry, `iat`, `nbf`, audience, in this order.
pub fn verify_claims(claims: &Claims, check: &Check<'_>) -> Result<(), Reject> {
    let now = check.now;
    if let Some(at) = claims.expires_at
        && check.expiry == ExpiryRule::Enforce
        && at <= now
    {
        return Err(Reject::Expired { at, now });
    }
    let from = claims.not_before.unwrap_or(0).max(claims.issued_at);
    if from > now.saturating_add(check.leeway) {
        return Err(Reject::NotYetValid { from, now });
    }
    if check.audience_rule == AudienceRule::Enforce && !claims.audience.accepts(check.audience) {
        return Err(Reject::Audience { audience: claims.audience.clone(), me: check.audience.clone() });
    }
    Ok(())
}

/// That a key signed a token: the one thing about a verification worth remembering, because it never changes.
///
/// It is tied to the token's every byte, and [`SignatureFact::signer`] asks again whether the key is still trusted and
/// still speaks for the issuer. So a cache of these saves the arithmetic and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureFact {
    digest: [u8; 32],
    key: PublicKey,
}

impl SignatureFact {
    /// Verifies the signature, as [`verify_signature`] does.
    pub fn establish(parsed: &Parsed<'_>, keys: &KeySet) -> Result<Self, Reject> {
        signer(parsed, keys).map(|key| Self { digest: parsed.digest(), key: key.clone() })
    }

    /// The SHA-256 of the token that it is about: the key to keep it under.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What [`verify_signature`] would say now, without the arithmetic: the key's id if this fact is about this very token
    /// and its key is still in the set for the same issuer; `None` if it must be verified anew.
    #[must_use]
    pub fn signer(&self, parsed: &Parsed<'_>, keys: &KeySet) -> Option<KeyId> {
        let still_trusted = keys.get(self.key.id().as_str()).is_some_and(|key| *key == self.key);
        let still_named = parsed.kid().and_then(|kid| keys.get(kid)).is_none_or(|key| *key == self.key);
        (still_trusted && still_named && self.digest == parsed.digest()).then(|| self.key.id().clone())
    }
}

/// The key that signed the token.
fn signer<'k>(parsed: &Parsed<'_>, keys: &'k KeySet) -> Result<&'k PublicKey, Reject> {
    if let Some(key) = parsed.kid().and_then(|kid| keys.get(kid)) {
        may_speak(key, parsed)?;
        return if fits(key, parsed) { Ok(key) } else { Err(Reject::Signature) };
    }
    // A renewed certificate has another id for the same key, so the claimed issuer's other keys are tried; never anyone
    // else's.
    let claims = parsed.claims();
    let algorithm = Algorithm::parse(parsed.algorithm())
        .map_err(|_| Reject::Algorithm { header: quoted(parsed.algorithm()), key: None })?;
    for key in keys.of_issuer(&claims.issuer, algorithm) {
        may_speak(key, parsed)?;
        if fits(key, parsed) {
            return Ok(key);
        }
    }
    Err(Reject::UnknownKey { kid: parsed.kid().map(quoted), issuer: claims.issuer.clone() })
}

/// Whether the key may say what the token says, should the signature fit: with its own algorithm, for its own issuer, about
/// that issuer's subjects.
fn may_speak(key: &PublicKey, parsed: &Parsed<'_>) -> Result<(), Reject> {
    let claims = parsed.claims();
    if parsed.algorithm() != key.algorithm().as_str() {
        return Err(Reject::Algorithm { header: quoted(parsed.algorithm()), key: Some(key.algorithm()) });
    }
    if !key.issuer().same_service(&claims.issuer) {
        return Err(Reject::Issuer { claimed: claims.issuer.clone(), owner: key.issuer().clone() });
    }
    if !claims.subject.service().same_service(&claims.issuer) {
        return Err(Reject::Subject { subject: claims.subject.clone(), issuer: claims.issuer.clone() });
    }
    Ok(())
}

fn fits(key: &PublicKey, parsed: &Parsed<'_>) -> bool {
    key.verifies(parsed.signing_input().as_bytes(), parsed.signature())
}
