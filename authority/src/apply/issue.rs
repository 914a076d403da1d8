//! Issuing recorded tokens. Plain ones are drafted by the same function, on a view.

use circlet_token::{KeyId, TokenId};

use super::{Applied, below_limit};
use crate::{
    command::{Actor, IssueToken},
    config::unsigned,
    outcome::Outcome,
    plan::IssueRequest,
    record::{Family, TokenRecord},
    refusal::Refusal,
    state::{Idempotent, State},
};

/// The sequence of a family's first refresh token.
const FIRST_SEQUENCE: u32 = 1;

impl State {
    pub(super) fn issue_token(&mut self, actor: &Actor, issue: &IssueToken) -> Applied {
        if let Some(record) = self.issued_before(issue)? {
            return Ok(Outcome::Issued(Box::new(record)));
        }
        below_limit(self.tokens.len(), "limits.recorded-tokens-max", self.config.recorded_tokens_max)?;
        if let Some(owner) = &issue.owner {
            let owned = usize::try_from(self.tokens.owned_by(owner)).unwrap_or(usize::MAX);
            let max = self.config.recorded_tokens_per_owner_max;
            below_limit(owned, "limits.recorded-tokens-per-owner-max", max)?;
        }
        if issue.family.is_some_and(|family| self.families.get(&family).is_some()) {
            return Err(Refusal::Taken { what: "the family id".to_owned() });
        }
        if issue.reference.is_some_and(|hash| self.tokens.by_reference(&hash).is_some()) {
            return Err(Refusal::Taken { what: "the reference token".to_owned() });
        }
        let record = self.draft(actor, issue, self.now_secs(), self.index)?;
        self.record(&record);
        if let Some(key) = issue.idempotency {
            let entry =
                Idempotent { request_digest: issue.request_digest, token: record.id, at_ms: self.now_ms };
            self.idempotency.insert(key, entry);
        }
        Ok(Outcome::Issued(Box::new(record)))
    }

    /// The token that the same request got before: the same id (a retry by a node), or the same `Idempotency-Key` (a retry
    /// by a client) within the replay window.
    fn issued_before(&self, issue: &IssueToken) -> Result<Option<TokenRecord>, Refusal> {
        if let Some(record) = self.tokens.get(&issue.id) {
            let same = record.request_digest == issue.request_digest && record.subject == issue.subject;
            return if same {
                Ok(Some(record.as_ref().clone()))
            } else {
                Err(Refusal::IdTaken { id: issue.id })
            };
        }
        if self.was_revoked(&issue.id) {
            return Err(Refusal::TokenRevoked { id: issue.id });
        }
        let Some(earlier) = issue.idempotency.and_then(|key| self.idempotency.get(&key)) else {
            return Ok(None);
        };
        if !self.in_replay_window(earlier.at_ms) {
            return Ok(None);
        }
        if earlier.request_digest != issue.request_digest {
            return Err(Refusal::IdempotencyConflict);
        }
        match self.tokens.get(&earlier.token) {
            Some(record) => Ok(Some(record.as_ref().clone())),
            None => Err(Refusal::TokenRevoked { id: earlier.token }),
        }
    }

    pub(super) fn in_replay_window(&self, at_ms: u64) -> bool {
        let window_ms = unsigned(self.config.refresh_replay_window).saturating_mul(1_000);
        self.now_ms.saturating_sub(at_ms) <= window_ms
    }

    /// What a token would be that `actor` asks for: for a plain token this is all, and the edge signs it. `now_secs` is the
    /// node's time, `index` the view's index. Policy is for [`State::authorize`], limits on numbers for the log.
    ///
    /// # Errors
    /// There is no key to sign with: the cluster has not been initialised.
    pub fn draft(
        &self,
        actor: &Actor,
        issue: &IssueToken,
        now_secs: u64,
        index: u64,
    ) -> Result<TokenRecord, Refusal> {
        let refreshable = self.config.allow_refreshable || self.rights(actor).admin;
        let owner = issue.owner.as_ref().and_then(|owner| self.users.get(owner));
        Ok(TokenRecord {
            id: issue.id,
            subject: issue.subject.clone(),
            scope: issue.scope.clone(),
            audience: issue.audience.clone(),
            lifetime: issue.lifetime,
            revocable: self.plan_issue(&IssueRequest::of(issue)).revocable,
            issued_at: now_secs,
            expires_at: issue.lifetime.expires_at(now_secs),
            index,
            kid: self.signing_kid()?,
            owner: issue.owner.clone(),
            owner_external: owner.is_some_and(|owner| owner.is_external()),
            parent: parent_of(actor),
            origin: parent_of(actor).map(|parent| self.origin_of(parent)),
            description: issue.description.clone(),
            family: issue.family.filter(|_| refreshable).map(|family| (family, FIRST_SEQUENCE)),
            reference: issue.reference,
            generation: issue.generation,
            request_digest: issue.request_digest,
        })
    }

    pub(super) fn signing_kid(&self) -> Result<KeyId, Refusal> {
        self.active.clone().ok_or(Refusal::NotBootstrapped)
    }

    /// Write down a new token, and its family if it begins one.
    fn record(&mut self, record: &TokenRecord) {
        if let Some((family, sequence)) = record.family {
            let begun = Family {
                sequence,
                current: record.id,
                expires_at: record.expires_at,
                replay: None,
                ended_at: None,
            };
            self.families.insert(family, begun);
        }
        self.notice_descendant(record);
        self.tokens.insert(record.clone());
    }
}

fn parent_of(actor: &Actor) -> Option<TokenId> {
    match actor {
        Actor::Token(token) => token.id,
        _ => None,
    }
}
