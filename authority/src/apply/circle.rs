//! Members of the circle: approving them, and taking over what their feeds say.

use std::sync::Arc;

use circlet_token::{
    ServiceId,
    feed::{FeedEntry, FeedPosition},
};

use super::{Applied, below_limit};
use crate::{
    command::{ApproveMember, DismissMember, FollowFeed, FollowStep, InviteMember, SetCircleKey, ToldKey},
    config::unsigned,
    limits::{FAULT_EVIDENCE_BYTES_MAX, MEMBER_HOSTS_MAX},
    outcome::Outcome,
    policy::fits,
    record::{Invite, Member, MemberFault, Progress},
    refusal::Refusal,
    state::{Followed, State},
};

impl State {
    pub(super) fn set_circle_key(&mut self, set: &SetCircleKey) -> Applied {
        self.check_sealed(&set.key.private_key)?;
        if self.circle_key.is_none() {
            self.circle_key = Some(Arc::new(set.key.clone()));
        }
        Ok(Outcome::Done)
    }

    pub(super) fn invite_member(&mut self, invite: &InviteMember) -> Applied {
        if self.circle_key.is_none() {
            return Err(Refusal::NoCircleKey);
        }
        let now = self.now_secs();
        let open =
            self.invites.values().filter(|invite| invite.redeemed.is_none() && invite.expires_at > now);
        below_limit(open.count(), "limits.join-tokens-max", self.config.join_tokens_max)?;
        let expires_at = now.saturating_add(unsigned(self.config.circle_invite_expiry));
        let invite = Invite { hash: invite.hash, expires_at, guest: invite.guest.clone(), redeemed: None };
        self.invites.insert(invite.hash, Arc::new(invite));
        Ok(Outcome::Done)
    }

    /// Approving a member anew keeps what is known to be revoked: nothing comes back to life by it.
    pub(super) fn approve_member(&mut self, approve: &ApproveMember) -> Applied {
        let approved = &approve.approved;
        if self.is_us(&approved.issuer) {
            return Err(Refusal::IssuerIsUs { issuer: approved.issuer.clone() });
        }
        self.check_circle_key(&approved.circle_key, Some(&approved.issuer))?;
        self.check_approved(approve)?;
        let key = approved.issuer.ulid();
        if !self.members.contains_key(key) {
            below_limit(self.members.len(), "limits.trusted-issuers-max", self.config.trusted_issuers_max)?;
        }
        if let Some(hash) = &approve.invite
            && !self.redeem(hash, approve)?
        {
            return Ok(Outcome::Done);
        }
        let member = Member {
            approved: approved.clone(),
            since_index: self.index,
            progress: Progress::New,
            contact_ms: self.now_ms,
            over_quota: false,
            faults: Vec::new(),
            mutual: approve.mutual,
            successions: Vec::new(),
            taken: 0,
            limits: Some(self.shared_limits(&approved.issuer).unwrap_or_default()),
        };
        self.members.insert(key.to_owned(), Arc::new(member));
        Ok(Outcome::Done)
    }

    fn check_approved(&self, approve: &ApproveMember) -> Result<(), Refusal> {
        let approved = &approve.approved;
        let max = self.config.text_bytes_max;
        fits("the name", approved.name.len(), "limits.text-bytes-max", max)?;
        if approved.hosts.is_empty() {
            return Err(Refusal::Empty { what: "the list of hosts".to_owned() });
        }
        let hosts = i64::try_from(MEMBER_HOSTS_MAX).unwrap_or(i64::MAX);
        below_limit(approved.hosts.len().saturating_sub(1), "the hosts of a member", hosts)?;
        for host in &approved.hosts {
            fits("a host", host.len(), "limits.text-bytes-max", max)?;
        }
        Ok(())
    }

    /// Uses an invitation. `false` if the same had used it before: a retry.
    fn redeem(&mut self, hash: &[u8; 32], approve: &ApproveMember) -> Result<bool, Refusal> {
        let Some(invite) = self.invites.get(hash).cloned() else { return Err(Refusal::InviteUnknown) };
        let who = approve.approved.digest();
        match invite.redeemed {
            Some(redeemed) if redeemed == who => return Ok(false),
            Some(_) => return Err(Refusal::InviteUsed),
            None => {}
        }
        if invite.expires_at <= self.now_secs() {
            return Err(Refusal::InviteExpired { at: invite.expires_at });
        }
        self.check_guest(&invite, &approve.approved.issuer)?;
        let used = Invite { redeemed: Some(who), ..invite.as_ref().clone() };
        self.invites.insert(*hash, Arc::new(used));
        Ok(true)
    }

    /// An invitation proves nothing about who uses it: unless a person named the guest, it is nobody who is known here.
    fn check_guest(&self, invite: &Invite, issuer: &ServiceId) -> Result<(), Refusal> {
        match &invite.guest {
            Some(guest) if guest.same_service(issuer) => Ok(()),
            Some(guest) => Err(Refusal::InviteForAnother { guest: guest.clone() }),
            None => {
                let trusted = self.circle.values().any(|known| known.issuer.same_service(issuer));
                let known = trusted || self.member(issuer).is_some();
                if known { Err(Refusal::IssuerKnown { issuer: issuer.clone() }) } else { Ok(()) }
            }
        }
    }

    pub(super) fn dismiss_member(&mut self, dismiss: &DismissMember) -> Outcome {
        let key = dismiss.issuer.ulid();
        if self.members.remove(key).is_none() {
            return Outcome::NotFound { what: format!("member {}", dismiss.issuer) };
        }
        self.followed.remove(key);
        Outcome::Done
    }

    pub(super) fn follow_feed(&mut self, follow: &FollowFeed) -> Applied {
        let member = self.member(&follow.issuer).filter(|member| member.since_index == follow.member);
        let Some(member) = member.map(|member| member.as_ref().clone()) else {
            return Err(Refusal::MemberUnknown { issuer: follow.issuer.clone() });
        };
        if matches!(member.progress, Progress::Broken { .. }) {
            return Err(Refusal::FeedMoved { issuer: follow.issuer.clone() });
        }
        let member = match &follow.step {
            FollowStep::Entries { at, to, entries } => {
                self.take_entries(member, (*at, *to), entries, &follow.keys)?
            }
            FollowStep::Page { cursor, from, entries, next } => {
                self.take_page(member, (cursor, next), *from, entries, &follow.keys)?
            }
            FollowStep::Contact => Member { contact_ms: self.now_ms, ..member },
            FollowStep::Fault { code, proved, evidence } => self.note_fault(member, code, *proved, evidence),
            FollowStep::CircleKeys { successions } => self.take_circle_keys(member, successions)?,
        };
        self.members.insert(follow.issuer.ulid().to_owned(), Arc::new(member));
        Ok(Outcome::Done)
    }

    fn take_entries(
        &mut self,
        member: Member,
        (at, to): (FeedPosition, FeedPosition),
        entries: &[u8],
        keys: &[ToldKey],
    ) -> Result<Member, Refusal> {
        let issuer = member.approved.issuer.clone();
        if member.progress != (Progress::Following { at }) {
            return Err(Refusal::FeedMoved { issuer });
        }
        let entries = FeedEntry::read_all(entries).filter(|entries| at.after_all(entries) == to);
        let Some(entries) = entries else { return Err(Refusal::FeedBroken { issuer }) };
        if !self.add_entries(&issuer, &entries) {
            return Ok(Member { over_quota: true, ..member });
        }
        let member = self.take_told_keys(member, &entries, keys);
        let progress = Progress::Following { at: to };
        Ok(Member { progress, contact_ms: self.now_ms, over_quota: false, ..member })
    }

    fn take_page(
        &mut self,
        member: Member,
        (cursor, next): (&[u8], &[u8]),
        from: FeedPosition,
        entries: &[u8],
        keys: &[ToldKey],
    ) -> Result<Member, Refusal> {
        let issuer = member.approved.issuer.clone();
        let before = member.progress.at();
        let expected = match &member.progress {
            _ if cursor.is_empty() => true,
            Progress::Reading { from: begun, next: wanted, .. } => *begun == from && wanted == cursor,
            _ => false,
        };
        if !expected {
            return Err(Refusal::FeedMoved { issuer });
        }
        let Some(entries) = FeedEntry::read_all(entries) else { return Err(Refusal::FeedBroken { issuer }) };
        if !self.add_entries(&issuer, &entries) {
            return Ok(Member { over_quota: true, ..member });
        }
        let member = self.take_told_keys(member, &entries, keys);
        let progress = if next.is_empty() {
            Progress::Following { at: from }
        } else {
            Progress::Reading { from, next: next.to_vec(), before }
        };
        Ok(Member { progress, contact_ms: self.now_ms, over_quota: false, ..member })
    }

    /// Adds to the list of a member, unless it grew beyond its quota by that.
    fn add_entries(&mut self, issuer: &ServiceId, entries: &[FeedEntry]) -> bool {
        let mut list = self.followed.get(issuer.ulid()).cloned().unwrap_or_default();
        for entry in entries {
            list.add(entry.clone());
        }
        let most = unsigned(self.config.circle_feed_entries_max);
        if u64::try_from(list.len()).unwrap_or(u64::MAX) > most {
            return false;
        }
        self.followed.insert(issuer.ulid().to_owned(), list);
        true
    }

    /// Keeps the first fault of each kind. One that the member's own signature proves ends the belief in its feed.
    pub(super) fn note_fault(&self, mut member: Member, code: &str, proved: bool, evidence: &[u8]) -> Member {
        if !member.faults.iter().any(|fault| fault.code == code) && member.faults.len() < FAULTS_MAX {
            let evidence = evidence.iter().take(FAULT_EVIDENCE_BYTES_MAX).copied().collect();
            member.faults.push(MemberFault { code: code.to_owned(), at_ms: self.now_ms, evidence });
        }
        if proved {
            member.progress = Progress::Broken { at: member.progress.at() };
        }
        member
    }

    /// Forgets what has expired of the members' lists; returns how much.
    pub(super) fn forget_followed(&mut self, through: u64, room: usize) -> usize {
        let mut left = room;
        let lists: Vec<String> = self.followed.keys().cloned().collect();
        for key in lists {
            let Some(mut list) = self.followed.get(&key).cloned() else { continue };
            left = left.saturating_sub(Followed::forget_expired(&mut list, through, left));
            self.followed.insert(key, list);
        }
        let over: Vec<[u8; 32]> = self
            .invites
            .values()
            .filter(|invite| invite.expires_at <= through)
            .map(|invite| invite.hash)
            .take(left)
            .collect();
        for hash in &over {
            self.invites.remove(hash);
        }
        room.saturating_sub(left).saturating_add(over.len())
    }
}

/// Kinds of faults that are kept.
const FAULTS_MAX: usize = 16;
