//! What a view says of a token: signature, time and audience, and what the authority knows, in this order. No clock, no
//! node, no memory, so that the simulator judges by the same lines.

use std::sync::Arc;

use circlet_authority::{Judgement, State};
use circlet_token::{
    AudienceRule, Check, ExpiryRule, KeySet, Parsed, Reject, Revocation, ServiceId, Verified, verify_claims,
    verify_signature,
};

/// What a token must be good for.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Whether it may have expired.
    pub expiry: ExpiryRule,
    /// Whether it must be meant for the service that asks.
    pub audience: AudienceRule,
    /// The service that asks, if it is not this cluster.
    pub service: Option<&'a ServiceId>,
}

impl Rules<'_> {
    /// A token that acts here, now.
    pub const HERE: Self =
        Self { expiry: ExpiryRule::Enforce, audience: AudienceRule::Enforce, service: None };
}

/// A token that is good on a view.
#[derive(Debug)]
pub struct Good {
    /// What it says.
    pub verified: Arc<Verified>,
    /// Whether it can be revoked, as this cluster sees it.
    pub revocable: bool,
    /// Whether only a fresh view may say that it is good.
    pub needs_freshness: bool,
    /// The cluster whose revocations must be known to be fresh as well, by the log index of its approval.
    pub feed: Option<u64>,
}

/// Judges a token on a view at `now`, in seconds. `read` gives what it says once its signature was found good under the
/// view's keys.
///
/// # Errors
/// Why it is not good on this view.
pub fn judge(
    view: &State,
    now: u64,
    rules: Rules<'_>,
    read: impl FnOnce(&ServiceId, &Arc<KeySet>) -> Result<Arc<Verified>, Reject>,
) -> Result<Good, Reject> {
    let own = view.service_id().ok_or(Reject::Stale { age_ms: None, max_ms: 0 })?;
    let verified = read(own, view.key_set())?;
    let check = Check {
        now,
        leeway: u64::try_from(view.config().clock_leeway).unwrap_or(0),
        audience: rules.service.unwrap_or(own),
        expiry: rules.expiry,
        audience_rule: rules.audience,
    };
    verify_claims(&verified.claims, &check)?;
    match view.judge(&verified, now) {
        Judgement::Good { needs_freshness, revocable, feed } => {
            Ok(Good { verified, revocable, needs_freshness, feed })
        }
        Judgement::Revoked(why) => Err(Reject::Revoked { why }),
        Judgement::Distrusted { kid } => Err(Reject::UnknownKey {
            kid: Some(kid.as_str().to_owned()),
            issuer: verified.claims.issuer.clone(),
        }),
    }
}

/// What a token says, if one of the keys has signed it.
///
/// # Errors
/// It is no token, its key is unknown, or its signature is wrong.
pub fn check_signature(text: &str, keys: &KeySet) -> Result<Verified, Reject> {
    let parsed = Parsed::parse(text)?;
    let key = verify_signature(&parsed, keys)?;
    let algorithm = keys.get(key.as_str()).expect("the key that fits is in the set").algorithm();
    Ok(Verified { key, algorithm, claims: parsed.into_claims() })
}

/// Whether a later view might accept what this one refuses.
#[must_use]
pub fn may_change(reject: &Reject) -> bool {
    match reject {
        Reject::UnknownKey { .. } | Reject::Stale { .. } | Reject::Issuer { .. } => true,
        Reject::Revoked { why } => matches!(
            why,
            Revocation::Unrecorded
                | Revocation::UserDisabled
                | Revocation::IssuerLimits { .. }
                | Revocation::ForeignRevocable { .. }
                | Revocation::ForeignUnknown { .. }
                | Revocation::ForeignStale { .. }
                | Revocation::ForeignIsolated { .. }
        ),
        Reject::Parse { .. }
        | Reject::Subject { .. }
        | Reject::Algorithm { .. }
        | Reject::Signature
        | Reject::Expired { .. }
        | Reject::NotYetValid { .. }
        | Reject::Audience { .. } => false,
    }
}
