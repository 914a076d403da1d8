//! Token keys that a member's feed tells: the next one is trusted before it signs, one that ended is trusted no more.
//!
//! They are believed through the member's circle key alone: a token key vouches for nothing, and an issuer that is trusted
//! by certificate only has no feed.

use std::sync::Arc;

use circlet_token::{KeyId, feed::FeedEntry};

use super::{Applied, below_limit};
use crate::{
    command::{NoteTaken, ToldKey},
    limits::MEMBER_KEYS_MAX,
    outcome::Outcome,
    record::{Member, TrustedIssuer},
    refusal::Refusal,
    state::State,
};

impl State {
    /// Takes over what the entries say of the member's keys. A key that it may not have is refused and kept as evidence; the
    /// feed is followed nevertheless, since what it revokes counts.
    pub(super) fn take_told_keys(
        &mut self,
        mut member: Member,
        entries: &[FeedEntry],
        told: &[ToldKey],
    ) -> Member {
        let mut changed = false;
        // What ends makes room for what comes, whichever is told first: the list of a member that begins anew shows its keys
        // before it says which of those before have ended.
        for entry in entries {
            if let FeedEntry::KeyRetired { key } | FeedEntry::Tainted { key } = entry {
                changed |= self.take_away(&mut member, key);
            }
        }
        for entry in entries {
            if let FeedEntry::KeyShown { certificate } = entry {
                match self.take_shown(&mut member, certificate, told) {
                    Ok(new) => changed |= new,
                    Err(code) => member = self.note_fault(member, code, false, certificate),
                }
            }
        }
        if changed {
            self.keys_changed();
        }
        member
    }

    /// Trusts a key that a member shows. Whether it was new; or why it is refused, in a word.
    fn take_shown(
        &mut self,
        member: &mut Member,
        certificate: &[u8],
        told: &[ToldKey],
    ) -> Result<bool, &'static str> {
        let (issuer, kid) = (member.approved.issuer.clone(), KeyId::of_certificate(certificate));
        if self.keyring.contains_key(&kid) {
            return Err("key_of_ours");
        }
        if let Some(known) = self.circle.get(&kid) {
            return if known.issuer.same_service(&issuer) { Ok(false) } else { Err("key_of_another") };
        }
        // What a person distrusted here, or the member itself ended, doesn't come back by being told again.
        if self.has_ended(&issuer, &kid) || self.distrusted.contains_key(&kid) {
            return Ok(false);
        }
        let key = told.iter().find(|key| key.kid == kid).ok_or("key_unusable")?;
        self.check_told(member, key)?;
        let Some(limits) = self.shared_limits(&issuer).or_else(|| member.limits.take()) else {
            return Ok(false);
        };
        let trusted = TrustedIssuer {
            kid: kid.clone(),
            algorithm: key.algorithm,
            spki_der: key.spki_der.clone(),
            certificate_der: certificate.to_vec(),
            issuer,
            common_name: key.common_name.clone(),
            not_after: key.not_after.clone(),
            limits,
            file_name: key.file_name.clone(),
            since_index: self.index,
            by_feed: true,
        };
        self.circle.insert(kid, Arc::new(trusted));
        Ok(true)
    }

    /// Whether a key may be this member's: not ours, nobody else's, and not too many.
    fn check_told(&self, member: &Member, key: &ToldKey) -> Result<(), &'static str> {
        let issuer = &member.approved.issuer;
        if self.keyring.values().any(|own| own.spki_der == key.spki_der) {
            return Err("key_of_ours");
        }
        let mut same = self.circle.values().filter(|other| other.spki_der == key.spki_der);
        if same.any(|other| !other.issuer.same_service(issuer)) {
            return Err("key_of_another");
        }
        let theirs = self.circle.values().filter(|known| known.issuer.same_service(issuer)).count();
        let room =
            below_limit(self.circle.len(), "limits.trusted-issuers-max", self.config.trusted_issuers_max);
        if theirs >= MEMBER_KEYS_MAX || room.is_err() {
            return Err("too_many_keys");
        }
        let texts = [&key.common_name, &key.not_after, &key.file_name];
        let longest = texts.iter().map(|text| text.len()).max().unwrap_or(0);
        let most = usize::try_from(self.config.text_bytes_max).unwrap_or(0);
        if longest > most { Err("key_unusable") } else { Ok(()) }
    }

    /// Trusts a key no more that its own issuer has ended. With the last one its limits are kept, for the next.
    fn take_away(&mut self, member: &mut Member, kid: &KeyId) -> bool {
        let issuer = &member.approved.issuer;
        if !self.circle.get(kid).is_some_and(|known| known.issuer.same_service(issuer)) {
            return false;
        }
        let gone = self.circle.remove(kid);
        if self.shared_limits(issuer).is_none() {
            member.limits = gone.map(|gone| gone.limits.clone());
        }
        true
    }

    /// What a member has of our feed, noted when a key waits for that.
    pub(super) fn note_taken(&mut self, note: &NoteTaken) -> Applied {
        let member = self.member(&note.issuer).filter(|member| member.since_index == note.member);
        let Some(member) = member.map(|member| member.as_ref().clone()) else {
            return Err(Refusal::MemberUnknown { issuer: note.issuer.clone() });
        };
        if !self.passed_through(&note.at) {
            return Err(Refusal::FeedMoved { issuer: note.issuer.clone() });
        }
        let taken = member.taken.max(note.at.sequence);
        let member = Member { taken, ..member };
        self.members.insert(note.issuer.ulid().to_owned(), Arc::new(member));
        Ok(Outcome::Done)
    }
}
