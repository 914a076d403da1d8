//! Revoking: one token or a family. No limit refuses a revoke.

use circlet_token::TokenId;

use super::Applied;
use crate::{
    command::{Actor, PresentedToken, RevokeTarget, RevokeToken},
    config::unsigned,
    judge::Facts,
    outcome::{Outcome, RevokeNote, Revoked},
    record::{Family, FamilyId, Origin, TokenRecord},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn revoke_token(&mut self, actor: &Actor, revoke: &RevokeToken) -> Applied {
        // Read before the token goes.
        let origin = match &revoke.target {
            RevokeTarget::Id(id) => self.origin_of(*id),
            RevokeTarget::Value(token) => self.origin_of(token.id),
            RevokeTarget::Family { family, .. } => Origin::Family(*family),
        };
        let outcome = self.revoke_target(actor, &revoke.target)?;
        match outcome {
            Outcome::Revoked(revoked) if revoke.cascade => {
                let descendants = self.end_descendants(origin);
                Ok(Outcome::Revoked(Box::new(Revoked { descendants, ..*revoked })))
            }
            outcome => Ok(outcome),
        }
    }

    fn revoke_target(&mut self, actor: &Actor, target: &RevokeTarget) -> Applied {
        match (target, actor) {
            // A token that names itself has brought its facts along: nothing needs to be guessed.
            (RevokeTarget::Id(id), Actor::Token(token)) if token.id == Some(*id) => {
                self.revoke_value(&PresentedToken {
                    id: *id,
                    subject: token.subject.clone(),
                    key: token.key.clone(),
                    issued_at: token.issued_at,
                    expires_at: token.expires_at,
                    revocable: token.revocable,
                    index: token.index,
                })
            }
            (RevokeTarget::Id(id), _) => self.revoke_id(*id),
            (RevokeTarget::Value(token), _) => self.revoke_value(token),
            (RevokeTarget::Family { family, sequence }, _) => self.revoke_family(*family, *sequence),
        }
    }

    fn revoke_id(&mut self, id: TokenId) -> Applied {
        if let Some(record) = self.tokens.get(&id).map(|record| record.as_ref().clone()) {
            return self.revoke_recorded(&record);
        }
        if self.was_revoked(&id) {
            return Ok(self.revoked_already(id));
        }
        let until = self.unseen_horizon();
        if until <= self.now_secs() {
            return Err(Refusal::UnknownToken { id });
        }
        self.revocations.list_unseen(id, until);
        Ok(revoked(vec![id], RevokeNote::ListedUnseen { until }))
    }

    fn revoke_value(&mut self, token: &PresentedToken) -> Applied {
        let id = token.id;
        let Some(here) = self.service_id().cloned() else { return Err(Refusal::NotBootstrapped) };
        if !self.is_us(token.subject.service()) {
            return Err(Refusal::ForeignToken { id, issuer: token.subject.service().clone(), here });
        }
        if let Some(record) = self.tokens.get(&id).map(|record| record.as_ref().clone()) {
            // One that was imported may say of itself what its list did not.
            let revocable = record.revocable || self.revocable(&Facts::of_presented(token));
            return self.revoke_recorded(&TokenRecord { revocable, ..record });
        }
        let expiry = token.expires_at.unwrap_or(u64::MAX);
        if self.revocations.is_listed(&id, expiry) {
            return Ok(self.revoked_already(id));
        }
        if !self.revocable(&Facts::of_presented(token)) {
            return Err(Refusal::NotRevocable { id, expires_at: token.expires_at });
        }
        // Purged: if it was refreshed, its family may live, and nothing here knows any more which one that is.
        if expiry <= self.now_secs() {
            return Err(Refusal::UnknownToken { id });
        }
        self.revocations.list(id, expiry, None);
        Ok(revoked(vec![id], RevokeNote::None))
    }

    fn revoke_recorded(&mut self, record: &TokenRecord) -> Applied {
        if !record.revocable {
            return Err(Refusal::NotRevocable { id: record.id, expires_at: record.expires_at });
        }
        let family = record.family.map(|(family, _)| family);
        let ended = family.is_some_and(|family| self.end_family(family).is_some());
        self.tokens.remove(&record.id);
        self.revocations.list(record.id, record.expiry(), family);
        let note = if ended { RevokeNote::FamilyEnded } else { RevokeNote::None };
        Ok(revoked(vec![record.id], note))
    }

    /// A token that was rotated out is revoked already; revoking it by hand still ends what came from it. Of an id that was
    /// listed without being known nobody can say more than the first time.
    fn revoked_already(&mut self, id: TokenId) -> Outcome {
        let lately = self.revocations.lately(&id);
        let unseen = self.revocations.unseen_until(&id).filter(|_| lately.is_none());
        if let Some(until) = unseen {
            let note = RevokeNote::ListedUnseen { until };
            return Outcome::Revoked(Box::new(Revoked::of(vec![id], true, note)));
        }
        match lately.and_then(|lately| lately.family).and_then(|family| self.end_family(family)) {
            Some(ended) => revoked(ended.ids, RevokeNote::FamilyEnded),
            None => Outcome::Revoked(Box::new(Revoked::of(vec![id], true, RevokeNote::None))),
        }
    }

    /// A refresh token's value can always be revoked, also one that has been used: whoever holds it ends the family.
    fn revoke_family(&mut self, id: FamilyId, sequence: u32) -> Applied {
        let known = self.families.get(&id).is_some_and(|family| sequence <= family.sequence);
        if !known {
            return Err(Refusal::RefreshUnknown);
        }
        match self.end_family(id) {
            Some(ended) => Ok(Outcome::Revoked(Box::new(ended))),
            None => Ok(Outcome::Revoked(Box::new(Revoked::of(Vec::new(), true, RevokeNote::None)))),
        }
    }

    /// End a family and, if it is revocable, its access token. `None` if it had ended before.
    pub(super) fn end_family(&mut self, id: FamilyId) -> Option<Revoked> {
        let family = self.families.get(&id).filter(|family| family.ended_at.is_none())?.as_ref().clone();
        let current = self.tokens.get(&family.current).map(|record| record.as_ref().clone());
        self.families.insert(id, Family { ended_at: Some(self.now_secs()), replay: None, ..family });
        let Some(current) = current else {
            return Some(Revoked::of(Vec::new(), false, RevokeNote::FamilyEnded));
        };
        if !current.revocable {
            let note = RevokeNote::AccessTokenLives { id: current.id, until: current.expires_at };
            return Some(Revoked::of(Vec::new(), false, note));
        }
        self.tokens.remove(&current.id);
        self.revocations.list(current.id, current.expiry(), Some(id));
        Some(Revoked::of(vec![current.id], false, RevokeNote::FamilyEnded))
    }

    /// Until when a revocable token can live that nothing recorded, under this or an earlier configuration.
    fn unseen_horizon(&self) -> u64 {
        let longest = Self::longest_unseen(&self.config);
        let now = self.now_secs();
        let present = if longest == 0 { 0 } else { now.saturating_add(longest) };
        self.unseen_until.max(present)
    }

    /// Remember how long tokens of the present configuration can live, before it changes. A node that is cut off issues
    /// them for a while longer.
    pub(super) fn keep_unseen_horizon(&mut self) {
        let horizon = self.unseen_horizon();
        let some = horizon > self.unseen_until;
        let late = if some { unsigned(self.config.issue_max_isolation) } else { 0 };
        self.unseen_until = horizon.saturating_add(late);
    }
}

fn revoked(ids: Vec<TokenId>, note: RevokeNote) -> Outcome {
    Outcome::Revoked(Box::new(Revoked::of(ids, false, note)))
}
