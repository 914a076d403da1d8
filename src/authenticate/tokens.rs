//! Judges a token: the one way by which any endpoint comes to believe one.

use std::sync::Arc;

use circlet_authority::State;
use circlet_raft::Published;
use circlet_token::{AudienceRule, ExpiryRule, KeySet, Parsed, Reject, Revocation, Verified};

pub(crate) use super::judge::Rules;
use super::judge::{self, Good};
use super::signatures::{self, TokenDigest};
use super::vouch::{Opinion, Unvouched, vouch};
use super::{Authenticator, Bearer, reference};
use crate::metrics::Verified as Kind;
use crate::reference_token;
use crate::usecase::failure::Failure;
use crate::usecase::reading::{self, Here};

impl Rules<'_> {
    /// A token that asks about itself: its audience may be others (contract section 1.6, `me`).
    pub(crate) const ABOUT_ITSELF: Self =
        Self { expiry: ExpiryRule::Enforce, audience: AudienceRule::Ignore, service: None };
}

/// Whether a password is a token in fact.
pub(crate) fn looks_like_one(text: &str) -> bool {
    reference_token::looks_like_one(text) || (text.starts_with("ey") && Parsed::parse(text).is_ok())
}

impl Authenticator {
    /// Believes a JWT or a reference token, or says why not.
    pub(super) async fn accept(&self, text: &str, rules: Rules<'_>) -> Result<Bearer, Failure> {
        let digest = signatures::digest(text);
        let opinion = |published: &Arc<Published<State>>| match self.judge(published, text, &digest, rules) {
            Ok(Good { verified, revocable, needs_freshness, feed }) => {
                let seen = Arc::clone(published);
                Opinion::Good { found: Bearer { verified, revocable, seen }, needs_freshness, feed }
            }
            Err(why) => Opinion::Refused { may_change: judge::may_change(&why), why },
        };
        let here = Here(&self.cluster);
        let mut vouched = vouch(&here, opinion).await;
        // Its certificate may have been dropped into the trusted directory a moment ago.
        if matches!(vouched, Err(Unvouched::Refused(Reject::UnknownKey { .. })))
            && self.watched.trusted.again().await
        {
            vouched = vouch(&here, opinion).await;
        }
        let bearer = vouched.map_err(|unvouched| match unvouched {
            Unvouched::Refused(reject) => failure(&reject),
            Unvouched::Stale(stale) => stale,
            Unvouched::TooSlow => reading::stale(&self.cluster, "the proof took too long"),
            Unvouched::FeedStale { age_ms, max_ms } => feed_stale(text, age_ms, max_ms),
        })?;
        let now = self.cluster.now_at(&bearer.seen).secs();
        self.usage.note(&bearer.seen.view, &bearer.verified, now);
        self.counts.verified(kind(&bearer));
        Ok(bearer)
    }

    fn judge(
        &self,
        published: &Arc<Published<State>>,
        text: &str,
        digest: &TokenDigest,
        rules: Rules<'_>,
    ) -> Result<Good, Reject> {
        let now = self.cluster.now_at(published).secs();
        judge::judge(&published.view, now, rules, |own, keys| {
            if reference_token::looks_like_one(text) {
                Ok(Arc::new(reference::resolve(&published.view, own, text)?))
            } else {
                self.signed(keys, text, digest)
            }
        })
    }

    /// The signature's result, from memory if this token was seen under the same keys.
    fn signed(&self, keys: &Arc<KeySet>, text: &str, digest: &TokenDigest) -> Result<Arc<Verified>, Reject> {
        if let Some(verified) = self.signatures.recall(digest, keys) {
            return Ok(verified);
        }
        let verified = Arc::new(judge::check_signature(text, keys)?);
        self.signatures.remember(*digest, keys, Arc::clone(&verified));
        Ok(verified)
    }
}

/// What was accepted, for the counts.
fn kind(bearer: &Bearer) -> Kind {
    let view = &bearer.seen.view;
    let issuer = &bearer.verified.claims.issuer;
    match view.service_id() {
        Some(own) if !issuer.same_service(own) && view.key(&bearer.verified.key).is_none() => Kind::Foreign,
        _ if bearer.revocable => Kind::Revocable,
        _ => Kind::Plain,
    }
}

/// A rejected token as a failure: the word that clients match, the reason for programs, and why.
pub(crate) fn failure(reject: &Reject) -> Failure {
    if let Reject::Revoked { why } = reject {
        return revoked(why);
    }
    let word = match reject {
        Reject::Parse { .. } => "parse",
        Reject::UnknownKey { .. } | Reject::Algorithm { .. } | Reject::Signature => "signature",
        Reject::Issuer { .. } | Reject::Subject { .. } => "issuer",
        Reject::Expired { .. } => "expired",
        Reject::NotYetValid { .. } => "not yet valid",
        Reject::Audience { .. } => "audience",
        Reject::Revoked { .. } => "revoked",
        Reject::Stale { .. } => return Failure::unavailable(reject.code(), reject.to_string()),
    };
    Failure::token(reject.code(), word).with_detail(reject.to_string())
}

/// A revocable token of a cluster of whose revocations not enough is known counts as revoked.
fn feed_stale(text: &str, age_ms: Option<u64>, max_ms: u64) -> Failure {
    match Parsed::parse(text) {
        Ok(parsed) => {
            let issuer = parsed.into_claims().issuer;
            revoked(&Revocation::ForeignStale { issuer, age_ms, max_ms })
        }
        Err(why) => failure(&why),
    }
}

/// What counts as revoked has many reasons, and users search long for the right one.
fn revoked(why: &Revocation) -> Failure {
    let (reason, word) = match why {
        Revocation::Listed | Revocation::Watermark => ("revoked", "revoked"),
        Revocation::Refreshed => ("refreshed", "revoked"),
        Revocation::KeyTainted { .. } => ("key_tainted", "revoked"),
        Revocation::ForeignRevocable { .. } => ("foreign_revocable", "revoked"),
        Revocation::ForeignUnknown { .. } => ("foreign_unknown", "revoked"),
        Revocation::ForeignStale { .. } => ("foreign_stale", "revoked"),
        Revocation::ForeignIsolated { .. } => ("foreign_isolated", "revoked"),
        Revocation::UserDisabled => ("user_disabled", "revoked"),
        Revocation::Unrecorded => ("unknown_token", "unknown"),
        Revocation::IssuerLimits { .. } => ("issuer_limits", "issuer limits"),
    };
    Failure::token(reason, word).with_detail(why.to_string())
}
