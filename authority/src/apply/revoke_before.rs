//! Revoking everything that was issued before, to some or to all. No limit refuses it, and one entry does it.

use circlet_token::{Subject, UserName};

use super::Applied;
use crate::{
    command::{RevokeBefore, Whom},
    judge::Facts,
    outcome::Outcome,
    record::{FamilyId, TokenRecord, Watermark},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn revoke_before(&mut self, revoke: &RevokeBefore) -> Applied {
        let mark = self.watermark_now(revoke.since, revoke.until);
        match &revoke.whom {
            Whom::Subject(subject) => self.mark_subject(subject, mark),
            Whom::Group(name) => {
                self.mark_members(name, mark)?;
                self.set_watermark(&revoke.whom, mark);
            }
            Whom::Key(_) | Whom::Subjects { .. } | Whom::Everyone => self.set_watermark(&revoke.whom, mark),
        }
        Ok(Outcome::WatermarkSet { index: mark.index })
    }

    fn mark_subject(&mut self, subject: &Subject, mark: Watermark) {
        self.end_families_of_external(subject, mark);
        self.set_watermark(&Whom::Subject(subject.clone()), mark);
    }

    /// Sets a watermark, and tells other clusters of it as far as it is about what was issued here.
    pub(super) fn set_watermark(&mut self, whom: &Whom, mark: Watermark) {
        self.watermarks.set(whom, mark);
        if mark.since <= mark.until
            && let Some(entry) = self.as_feed_entry(whom, &mark)
        {
            self.revocations.tell(entry);
        }
    }

    /// The members of now: who joins the group later has nothing to do with it, and who leaves it stays marked.
    fn mark_members(&mut self, group: &str, mark: Watermark) -> Result<(), Refusal> {
        if !self.groups.contains_key(group) {
            return Err(Refusal::GroupUnknown { name: group.to_owned() });
        }
        let Some(service) = self.service_id().cloned() else { return Err(Refusal::NotBootstrapped) };
        let members: Vec<Subject> = self.members(group).map(|name| Subject::user(&service, name)).collect();
        for subject in &members {
            self.mark_subject(subject, mark);
        }
        Ok(())
    }

    /// The families that the watermark of their subject alone would not end, see [`State::refresh_token`].
    fn end_families_of_external(&mut self, subject: &Subject, mark: Watermark) {
        let Some(name) = subject.user_name().and_then(|name| UserName::parse(name).ok()) else { return };
        let own = self.tokens.of_user(&name).filter(|record| record.owner_external);
        let families: Vec<FamilyId> = own
            .filter(|record| record.subject == *subject && mark.refuses(record.issued_at, Some(record.index)))
            .filter_map(|record| record.family.map(|(family, _)| family))
            .collect();
        for family in families {
            self.end_family(family);
        }
    }

    /// A watermark of this entry on what was issued in these seconds; by default in all.
    pub(super) fn watermark_now(&self, since: Option<u64>, until: Option<u64>) -> Watermark {
        let horizons = self.keyring.values().map(|key| key.plain_until);
        Watermark {
            index: self.index,
            set_at: self.now_secs(),
            since: since.unwrap_or(0),
            until: until.unwrap_or(u64::MAX),
            plain_until: horizons.fold(self.plain_horizon(), u64::max),
        }
    }

    /// How many of the live recorded tokens a revoke would end if it were decided on top of this state. Nobody can tell of
    /// plain ones, which nothing has recorded. Looks at the tokens of one user, or at all.
    #[must_use]
    pub fn would_end(&self, revoke: &RevokeBefore, now_secs: u64) -> u64 {
        let now = now_secs.max(self.now_secs());
        let mut after = self.clone();
        after.index = self.index.saturating_add(1);
        if after.revoke_before(revoke).is_err() {
            return 0;
        }
        let ends = |record: &&std::sync::Arc<TokenRecord>| {
            self.is_live(record, now) && after.below_watermark(&Facts::of_record(record), Some(record.index))
        };
        let user = match &revoke.whom {
            Whom::Subject(subject) => subject.user_name().and_then(|name| UserName::parse(name).ok()),
            _ => None,
        };
        let count = match user {
            Some(user) => self.tokens.of_user(&user).filter(ends).count(),
            None => self.tokens.iter().filter(ends).count(),
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}
