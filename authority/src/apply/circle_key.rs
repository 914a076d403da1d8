//! Circle keys that are replaced, ours and the members', and what a member asks for under its own.

use std::sync::Arc;

use circlet_token::{
    ServiceId,
    feed::{CirclePublicKey, FeedEntry, SUCCESSIONS_MAX, Succession},
};

use super::{Applied, below_limit};
use crate::{
    command::{Actor, ReplaceCircleKey, RevokeForMember, RevokeTarget, RevokeToken},
    outcome::Outcome,
    record::{CircleKey, Member},
    refusal::Refusal,
    state::State,
};

impl State {
    /// Replaces our circle key. The one before is forgotten; its word about the next one stays, for whoever was away.
    pub(super) fn replace_circle_key(&mut self, replace: &ReplaceCircleKey) -> Applied {
        self.check_sealed(&replace.private_key)?;
        let Some(present) = self.circle_key.as_ref().map(|key| key.as_ref().clone()) else {
            return Err(Refusal::NoCircleKey);
        };
        let Succession { previous, next, .. } = replace.succession;
        let now = CirclePublicKey::of_spki(&present.spki_der);
        if now == Some(next) && present.successions.last() == Some(&replace.succession) {
            return Ok(Outcome::Done);
        }
        if now != Some(previous) {
            return Err(Refusal::CircleKeyReplaced);
        }
        let most = i64::try_from(SUCCESSIONS_MAX).unwrap_or(i64::MAX);
        below_limit(present.successions.len(), "the circle keys of one generation", most)?;
        self.check_circle_key(&next.spki_der(), None)?;
        let mut successions = present.successions;
        successions.push(replace.succession);
        let private_key = replace.private_key.clone();
        self.circle_key = Some(Arc::new(CircleKey { spki_der: next.spki_der(), private_key, successions }));
        self.revocations.tell(FeedEntry::CircleKey(Box::new(replace.succession)));
        Ok(Outcome::Done)
    }

    /// A circle key belongs to one cluster, for ever. `whose` may have it already.
    pub(super) fn check_circle_key(&self, spki_der: &[u8], whose: Option<&ServiceId>) -> Result<(), Refusal> {
        let ours = self.circle_key.as_ref().is_some_and(|key| key.was(spki_der));
        let mut having = self.members.values().filter(|member| member.had_circle_key(spki_der));
        let others = having.any(|member| !whose.is_some_and(|one| one.same_service(&member.approved.issuer)));
        if ours || others { Err(Refusal::Taken { what: "the circle key".to_owned() }) } else { Ok(()) }
    }

    /// Believes the next circle key of a member. Each was signed by the one before, which the node that heard it checked.
    pub(super) fn take_circle_keys(
        &self,
        mut member: Member,
        successions: &[Succession],
    ) -> Result<Member, Refusal> {
        let issuer = member.approved.issuer.clone();
        for succession in successions {
            let keys = member.circle_keys();
            if keys.last() != Some(&succession.previous) || keys.contains(&succession.next) {
                return Err(Refusal::FeedMoved { issuer });
            }
            let most = i64::try_from(SUCCESSIONS_MAX).unwrap_or(i64::MAX);
            below_limit(member.successions.len(), "the circle keys of a member", most)?;
            self.check_circle_key(&succession.next.spki_der(), None)?;
            member.successions.push(*succession);
        }
        Ok(member)
    }

    /// Revokes for a member what its own administrator asks for. It needs no right here but its limits.
    pub(super) fn revoke_for_member(&mut self, actor: &Actor, revoke: &RevokeForMember) -> Applied {
        let member = self.member(&revoke.issuer).filter(|member| member.since_index == revoke.member);
        if member.is_none() {
            return Err(Refusal::MemberUnknown { issuer: revoke.issuer.clone() });
        }
        if !self.member_may_revoke(&revoke.issuer) {
            return Err(Refusal::MemberMayNotRevoke { issuer: revoke.issuer.clone() });
        }
        let target = RevokeTarget::Id(revoke.id);
        self.revoke_token(actor, &RevokeToken { target, cascade: revoke.cascade })
    }
}
