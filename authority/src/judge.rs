//! Whether a token with a good signature is good here: revocation list, watermarks, tainted keys, users, the circle's
//! limits. The same judgement is passed on callers when a command is applied.

use circlet_token::{Audience, KeyId, Lifetime, Revocation, Scope, ServiceId, Subject, TokenId, Verified};

use crate::{
    command::{PresentedToken, TokenActor},
    config::unsigned,
    plan::reaches,
    record::{KeyState, Member, Progress, TokenRecord, TrustedIssuer},
    state::State,
};

/// What a state says of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It is good, as far as this state knows.
    Good {
        /// Whether only a fresh state may say so: exactly if it is revocable.
        needs_freshness: bool,
        /// Whether it can be ended before it expires.
        revocable: bool,
        /// Another cluster's revocations must be known to be fresh as well: those of the member that was approved at this
        /// log index.
        feed: Option<u64>,
    },
    /// It is refused, and why.
    Revoked(Revocation),
    /// Its key is neither in the keyring nor in the circle any more.
    Distrusted {
        /// The key that signed it.
        kid: KeyId,
    },
}

/// What a judgement looks at, wherever it comes from.
pub(crate) struct Facts<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) id: Option<TokenId>,
    pub(crate) key: &'a KeyId,
    pub(crate) issued_at: u64,
    pub(crate) expires_at: Option<u64>,
    pub(crate) index: Option<u64>,
    pub(crate) says_revocable: Option<bool>,
    /// Whether it carries the live permissions of its user.
    pub(crate) is_user: bool,
    /// What it may do, where that is known.
    pub(crate) scope: Option<&'a Scope>,
    /// Whom it is meant for; `None` where that was judged before.
    pub(crate) audience: Option<&'a Audience>,
}

impl<'a> Facts<'a> {
    fn of_verified(verified: &'a Verified) -> Self {
        let claims = &verified.claims;
        Self {
            subject: &claims.subject,
            id: claims.id,
            key: &verified.key,
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            index: claims.index,
            says_revocable: claims.revocable,
            is_user: claims.scope.is_user(),
            scope: Some(&claims.scope),
            audience: Some(&claims.audience),
        }
    }

    pub(crate) fn of_actor(actor: &'a TokenActor) -> Self {
        Self {
            subject: &actor.subject,
            id: actor.id,
            key: &actor.key,
            issued_at: actor.issued_at,
            expires_at: actor.expires_at,
            index: actor.index,
            says_revocable: actor.revocable,
            is_user: actor.scope.is_user(),
            scope: Some(&actor.scope),
            audience: None,
        }
    }

    pub(crate) fn of_presented(token: &'a PresentedToken) -> Self {
        Self {
            subject: &token.subject,
            id: Some(token.id),
            key: &token.key,
            issued_at: token.issued_at,
            expires_at: token.expires_at,
            index: token.index,
            says_revocable: token.revocable,
            is_user: false,
            scope: None,
            audience: None,
        }
    }

    pub(crate) fn of_record(record: &'a TokenRecord) -> Self {
        Self {
            subject: &record.subject,
            id: Some(record.id),
            key: &record.kid,
            issued_at: record.issued_at,
            expires_at: record.expires_at,
            index: Some(record.index),
            says_revocable: Some(record.revocable),
            is_user: record.scope.is_user(),
            scope: Some(&record.scope),
            audience: None,
        }
    }

    fn lifetime(&self) -> Lifetime {
        // An expiry before the issue is a lifetime of next to nothing, never "for ever".
        let secs = self.expires_at.map(|at| at.saturating_sub(self.issued_at).max(1));
        Lifetime::from_secs(secs.unwrap_or(0))
    }
}

impl State {
    /// Judge a token whose signature, time and audience were found good. `now_secs` is the node's time.
    #[must_use]
    pub fn judge(&self, verified: &Verified, now_secs: u64) -> Judgement {
        self.judge_facts(&Facts::of_verified(verified), now_secs)
    }

    /// Whether one of our own tokens, or one that speaks for one of our subjects, is revocable.
    #[must_use]
    pub fn is_revocable(&self, verified: &Verified) -> bool {
        self.revocable(&Facts::of_verified(verified))
    }

    pub(crate) fn judge_facts(&self, facts: &Facts<'_>, now_secs: u64) -> Judgement {
        let revocable = self.revocable(facts);
        let verdict = match (self.keyring.get(facts.key), self.circle.get(facts.key)) {
            (Some(key), _) => match key.state {
                KeyState::Published | KeyState::Active | KeyState::Retiring => {
                    self.judge_own(facts, revocable).map(|()| None)
                }
                KeyState::Tainted => Err(Revocation::KeyTainted { key: facts.key.clone() }),
                KeyState::Retired => return Judgement::Distrusted { kid: facts.key.clone() },
            },
            (None, Some(issuer)) => self.judge_foreign(facts, issuer, revocable, now_secs),
            (None, None) if self.is_tainted_by_issuer(facts) => {
                Err(Revocation::KeyTainted { key: facts.key.clone() })
            }
            (None, None) => return Judgement::Distrusted { kid: facts.key.clone() },
        };
        match verdict {
            Ok(feed) => Judgement::Good { needs_freshness: revocable, revocable, feed },
            Err(why) => Judgement::Revoked(why),
        }
    }

    /// Whether the issuer of a token said that its key leaked: it is not trusted any more.
    fn is_tainted_by_issuer(&self, facts: &Facts<'_>) -> bool {
        self.followed.get(facts.subject.service().ulid()).is_some_and(|list| list.is_tainted(facts.key))
    }

    /// Ours carry it. A token without it, of others or of a key with an earlier life elsewhere, is revocable if it never
    /// expires or lives as long as the local minimum (contract section 1.10).
    pub(crate) fn revocable(&self, facts: &Facts<'_>) -> bool {
        let ours = facts.index.is_some() && self.keyring.contains_key(facts.key);
        match facts.says_revocable {
            Some(true) => true,
            _ if ours => facts.expires_at.is_none(),
            _ => reaches(facts.lifetime(), self.config.minimum_revocable_expiry, false),
        }
    }

    fn judge_own(&self, facts: &Facts<'_>, revocable: bool) -> Result<(), Revocation> {
        let expiry = facts.expires_at.unwrap_or(u64::MAX);
        if facts.id.is_some_and(|id| self.revocations.is_listed(&id, expiry)) {
            return Err(Revocation::Listed);
        }
        // From before the adoption of the key: there, revoking meant forgetting. What was not forgotten is what was imported.
        if facts.index.is_none() && revocable && !self.was_imported(facts) {
            return Err(Revocation::Unrecorded);
        }
        if self.below_watermark(facts, facts.index) {
            return Err(Revocation::Watermark);
        }
        self.judge_user(facts)
    }

    fn was_imported(&self, facts: &Facts<'_>) -> bool {
        facts.id.and_then(|id| self.tokens.get(&id)).is_some_and(|record| {
            record.expires_at == facts.expires_at && record.subject.name() == facts.subject.name()
        })
    }

    /// A disabled user is not spoken for; a user's live permissions need a user.
    fn judge_user(&self, facts: &Facts<'_>) -> Result<(), Revocation> {
        let Some(name) = facts.subject.user_name() else { return Ok(()) };
        let user = self.users.get(name);
        let good = user.map_or(!facts.is_user, |user| user.is_enabled());
        if good { Ok(()) } else { Err(Revocation::UserDisabled) }
    }

    /// Of the members whose revocations are followed, what they revoked is refused, and what can be revoked is good only
    /// while their feed is fresh: the answer names it then.
    fn judge_foreign(
        &self,
        facts: &Facts<'_>,
        issuer: &TrustedIssuer,
        revocable: bool,
        now_secs: u64,
    ) -> Result<Option<u64>, Revocation> {
        // Their index counts entries of their log, not of ours: only the time of issue can be compared.
        if self.below_watermark(facts, None) {
            return Err(Revocation::Watermark);
        }
        let member = self.member(&issuer.issuer);
        if let Some(member) = member {
            self.judge_followed(facts, member, now_secs)?;
        }
        if exceeds(issuer, facts, now_secs) || addresses_others(issuer, facts) {
            return Err(Revocation::IssuerLimits { issuer: issuer.issuer.clone() });
        }
        if !revocable {
            return Ok(None);
        }
        // What carries no index may have been revoked by being forgotten.
        let followed = member.filter(|_| facts.id.is_some() && facts.index.is_some());
        let Some(member) = followed else {
            return Err(Revocation::ForeignRevocable { issuer: issuer.issuer.clone() });
        };
        match (&member.progress, member.over_quota) {
            (_, true) => Err(unknown(issuer, "it has more of them than are kept here")),
            (Progress::Broken { .. }, _) => Err(unknown(issuer, "its feed contradicted itself")),
            _ => Ok(Some(member.since_index)),
        }
    }

    /// What the feed of an issuer says of its token, and for how long nothing was heard of it.
    fn judge_followed(&self, facts: &Facts<'_>, member: &Member, now_secs: u64) -> Result<(), Revocation> {
        let issuer = &member.approved.issuer;
        if let Some(list) = self.followed.get(issuer.ulid()) {
            if list.is_tainted(facts.key) {
                return Err(Revocation::KeyTainted { key: facts.key.clone() });
            }
            let expiry = facts.expires_at.unwrap_or(u64::MAX);
            if facts.id.is_some_and(|id| list.is_listed(&id, expiry)) {
                return Err(Revocation::Listed);
            }
            if list.refuses(facts) {
                return Err(Revocation::Watermark);
            }
        }
        let silent_secs = now_secs.saturating_sub(member.contact_ms / 1_000);
        if silent_secs > unsigned(self.config.circle_max_isolation) {
            return Err(Revocation::ForeignIsolated { issuer: issuer.clone(), silent_secs });
        }
        Ok(())
    }

    /// Whether a watermark refuses a token with this log index.
    pub(crate) fn below_watermark(&self, facts: &Facts<'_>, index: Option<u64>) -> bool {
        let own = self.keyring.contains_key(facts.key);
        self.is_of_before(facts, own) || self.watermarks.refuse(facts, index, own)
    }

    /// Whether a watermark refuses a token, other than one on its subject alone.
    pub(crate) fn below_other_watermark(&self, facts: &Facts<'_>, index: Option<u64>) -> bool {
        let own = self.keyring.contains_key(facts.key);
        self.is_of_before(facts, own) || self.watermarks.refuse_otherwise(facts, index, own)
    }

    /// Whether a token was issued before this generation of the cluster began.
    fn is_of_before(&self, facts: &Facts<'_>, own: bool) -> bool {
        self.begun.is_some_and(|begun| begun.refuses(facts, own))
    }

    /// Whether `issuer` is this cluster, under any kind of service.
    pub(crate) fn is_us(&self, issuer: &ServiceId) -> bool {
        self.service_id().is_some_and(|own| own.same_service(issuer))
    }
}

fn unknown(issuer: &TrustedIssuer, why: &'static str) -> Revocation {
    Revocation::ForeignUnknown { issuer: issuer.issuer.clone(), why }
}

/// Whether a token lives longer than its issuer may make it, as issued or counted from now.
fn exceeds(issuer: &TrustedIssuer, facts: &Facts<'_>, now_secs: u64) -> bool {
    let Some(most) = issuer.limits.max_lifetime.and_then(Lifetime::secs) else { return false };
    let left = facts.expires_at.map(|at| at.saturating_sub(now_secs));
    facts.lifetime().secs().is_none_or(|life| life > most) || left.is_none_or(|left| left > most)
}

/// Whether a token is meant for somebody that its issuer may not address here. One that is meant for nobody is not.
fn addresses_others(issuer: &TrustedIssuer, facts: &Facts<'_>) -> bool {
    let (Some(allowed), Some(audience)) = (&issuer.limits.audiences, facts.audience) else { return false };
    audience.as_str().split(' ').any(|entry| !entry.is_empty() && !allowed.contains(entry))
}
