//! Refreshing: one use, exactly once, and repeatable for a moment.
//!
//! The first use of a refresh token decides its successor. The same request within the replay window gets the same record
//! back, and so the same bytes, from any node. Everything else that presents a used refresh token is refused.

use super::Applied;
use crate::{
    command::RefreshToken,
    config::unsigned,
    judge::Facts,
    outcome::Outcome,
    plan::IssueRequest,
    record::{Family, FamilyId, KeyState, Replay, TokenRecord},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn refresh_token(&mut self, refresh: &RefreshToken) -> Applied {
        let Some(family) = self.families.get(&refresh.family).map(|family| family.as_ref().clone()) else {
            return Err(Refusal::RefreshUnknown);
        };
        if family.ended_at.is_some() {
            return Err(Refusal::RefreshRevoked);
        }
        let Some(current) = self.tokens.get(&family.current).map(|record| record.as_ref().clone()) else {
            return Err(Refusal::RefreshRevoked);
        };
        self.check_alive(&family, &current)?;
        if refresh.sequence == family.sequence {
            return self.use_once(refresh, &family, &current);
        }
        match family.replay.as_ref().filter(|replay| replay.sequence == refresh.sequence) {
            Some(replay) if self.repeats(refresh, replay) => self.repeat(refresh, &family, replay, &current),
            _ => self.refuse_reuse(refresh, &family),
        }
    }

    /// Whether the family may go on at all: not past its grace, not below a watermark, its people still there.
    fn check_alive(&self, family: &Family, current: &TokenRecord) -> Result<(), Refusal> {
        // Handed out under a secret that somebody else may know: the node that checked it had not heard.
        if current.index < self.former_secrets.refresh_since {
            return Err(Refusal::RefreshRevoked);
        }
        let facts = Facts::of_record(current);
        let below = if self.outlives_its_user(current) {
            self.below_other_watermark(&facts, Some(current.index))
        } else {
            self.below_watermark(&facts, Some(current.index))
        };
        if below {
            return Err(Refusal::RefreshRevoked);
        }
        if let Some(expired_at) = family.expires_at {
            let until = expired_at.saturating_add(unsigned(self.config.refresh_expiry));
            if self.now_secs() > until {
                return Err(Refusal::RefreshExpired { expired_at, until });
            }
        }
        self.check_owner(current)?;
        self.check_scope_subject(current)
    }

    /// Whether this is the own token of a user of an external realm, who may be gone here. The watermark that the removal set
    /// ends what was issued before, but not refreshing; revoking everything of a subject has ended such families by itself.
    fn outlives_its_user(&self, current: &TokenRecord) -> bool {
        let Some(owner) = &current.owner else { return false };
        current.owner_external
            && current.subject.user_name() == Some(owner.as_str())
            && self.users.get(owner).is_none_or(|user| user.is_external())
    }

    /// An internal user who created the token must still be there and enabled; one of an external realm may be gone (the
    /// guide, "Who can refresh?").
    fn check_owner(&self, current: &TokenRecord) -> Result<(), Refusal> {
        let Some(name) = &current.owner else { return Ok(()) };
        match self.users.get(name) {
            // Another user of that name; one of an external realm may have been away.
            Some(user)
                if current.index < user.created_index && !(current.owner_external && user.is_external()) =>
            {
                Err(Refusal::OwnerUnknown { name: name.clone() })
            }
            Some(user) if user.is_enabled() || user.is_external() => Ok(()),
            Some(_) => Err(Refusal::UserDisabled { name: name.clone() }),
            None if current.owner_external => Ok(()),
            None => Err(Refusal::OwnerUnknown { name: name.clone() }),
        }
    }

    fn check_scope_subject(&self, current: &TokenRecord) -> Result<(), Refusal> {
        let name = current.subject.user_name().and_then(|name| circlet_token::UserName::parse(name).ok());
        let Some(name) = name else { return Ok(()) };
        match self.users.get(&name) {
            Some(user) if !user.is_enabled() => Err(Refusal::UserDisabled { name }),
            None if current.scope.is_user() => Err(Refusal::UserUnknown { name }),
            _ => Ok(()),
        }
    }

    fn use_once(&mut self, refresh: &RefreshToken, family: &Family, current: &TokenRecord) -> Applied {
        if refresh.access.is_some_and(|access| access != family.current) {
            return Err(Refusal::RefreshMismatch);
        }
        let successor = self.successor(refresh, current, family.sequence.saturating_add(1))?;
        self.check_successor(refresh, &successor)?;
        self.end_predecessor(current);
        let replay = Replay {
            sequence: refresh.sequence,
            request_digest: refresh.request_digest,
            predecessor: current.id,
            at_ms: self.now_ms,
        };
        Ok(self.hand_over(refresh.family, successor, replay, false))
    }

    /// Whether this is the last use once more: the same request, in time.
    fn repeats(&self, refresh: &RefreshToken, replay: &Replay) -> bool {
        replay.request_digest == refresh.request_digest
            && refresh.access.is_none_or(|access| access == replay.predecessor)
            && self.in_replay_window(replay.at_ms)
    }

    /// The same record again; or, if the key that signs it was tainted meanwhile, another one in its place.
    fn repeat(
        &mut self,
        refresh: &RefreshToken,
        family: &Family,
        replay: &Replay,
        current: &TokenRecord,
    ) -> Applied {
        let tainted = self.keyring.get(&current.kid).is_none_or(|key| key.state == KeyState::Tainted);
        if !tainted {
            let (record, sequence) = (Box::new(current.clone()), family.sequence);
            return Ok(Outcome::Refreshed { record, sequence, replay: true });
        }
        let replacement = self.successor(refresh, current, family.sequence.saturating_add(1))?;
        self.check_free(refresh)?;
        self.tokens.remove(&current.id);
        self.revocations.list(current.id, current.expiry(), Some(refresh.family));
        Ok(self.hand_over(refresh.family, replacement, replay.clone(), true))
    }

    fn refuse_reuse(&mut self, refresh: &RefreshToken, family: &Family) -> Applied {
        // Ahead of what the log knows: from a future that a restore has cut off.
        if refresh.sequence > family.sequence {
            return Err(Refusal::RefreshUnknown);
        }
        if !self.config.revoke_family_on_reuse {
            return Err(Refusal::RefreshUsed);
        }
        // The one refusal that changes the state: reuse may mean theft, and the operator chose to end the family for it.
        self.end_family(refresh.family);
        Err(Refusal::RefreshUsedFamilyRevoked)
    }

    /// The next token of a family: everything is inherited, except what was asked to differ.
    fn successor(
        &self,
        refresh: &RefreshToken,
        old: &TokenRecord,
        sequence: u32,
    ) -> Result<TokenRecord, Refusal> {
        let overrides = self.changes(refresh);
        let lifetime = overrides.lifetime.unwrap_or(old.lifetime);
        let scope = overrides.scope.unwrap_or_else(|| old.scope.clone());
        let planned = self.plan_issue(&IssueRequest {
            generation: old.generation,
            lifetime,
            scope: &scope,
            refreshable: true,
            reference: refresh.reference.is_some(),
            force_revocable: false,
            idempotent: false,
        });
        let issued_at = self.now_secs();
        Ok(TokenRecord {
            id: refresh.successor_id,
            scope,
            audience: overrides.audience.unwrap_or_else(|| old.audience.clone()),
            lifetime,
            revocable: old.revocable || (overrides.lifetime.is_some() && planned.revocable),
            issued_at,
            expires_at: lifetime.expires_at(issued_at),
            index: self.index,
            kid: self.signing_kid()?,
            family: Some((refresh.family, sequence)),
            reference: refresh.reference,
            request_digest: refresh.request_digest,
            ..old.clone()
        })
    }

    fn check_successor(&self, refresh: &RefreshToken, successor: &TokenRecord) -> Result<(), Refusal> {
        self.check_free(refresh)?;
        if !self.changes(refresh).is_empty() {
            self.check_form(&successor.scope, &successor.audience, None)?;
            self.check_scope(&successor.scope)?;
            self.check_scope_subject(successor)?;
        }
        Ok(())
    }

    fn check_free(&self, refresh: &RefreshToken) -> Result<(), Refusal> {
        let id = refresh.successor_id;
        if self.tokens.get(&id).is_some() || self.was_revoked(&id) {
            return Err(Refusal::IdTaken { id });
        }
        if refresh.reference.is_some_and(|hash| self.tokens.by_reference(&hash).is_some()) {
            return Err(Refusal::Taken { what: "the reference token".to_owned() });
        }
        Ok(())
    }

    /// A revocable token ends with its refresh. One that is not lives to its expiry, as every verifier outside believes.
    fn end_predecessor(&mut self, old: &TokenRecord) {
        if old.revocable {
            self.tokens.remove(&old.id);
            self.revocations.list(old.id, old.expiry(), old.family.map(|(family, _)| family));
        }
    }

    fn hand_over(&mut self, id: FamilyId, successor: TokenRecord, replay: Replay, again: bool) -> Outcome {
        let sequence = successor.family.map_or(0, |(_, sequence)| sequence);
        let family = Family {
            sequence,
            current: successor.id,
            expires_at: successor.expires_at,
            replay: Some(replay),
            ended_at: None,
        };
        self.families.insert(id, family);
        self.notice_descendant(&successor);
        self.tokens.insert(successor.clone());
        Outcome::Refreshed { record: Box::new(successor), sequence, replay: again }
    }
}
