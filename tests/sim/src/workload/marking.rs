//! Administrators who end all that was issued before: to somebody, under a key, to a group, to everybody, in a stretch of
//! time.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::{Action, Outcome, RevokeBefore, TokenRecord, Whom};
use openraft_rt::AsyncRuntime;

use super::{Reply, Workload, administrator, subject_number};
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::mark::{Facts, Mark, Target};
use crate::runtime::{NodeRuntime, global_nanos};

/// How far a stretch of time goes beyond the token that it is about, in seconds.
const STRETCH_SECS_MAX: u64 = 5;

impl Workload {
    /// An administrator sets a watermark of some kind, on account of a token that they have seen.
    pub(super) async fn set_watermark(self: &Arc<Self>, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        let record = &held.record;
        let (what, whom, target) = self.target(record);
        let mut revoke = RevokeBefore::all_of(whom);
        if self.dice.percent(30) {
            self.count("watermark on a stretch of time");
            revoke.since = Some(record.issued_at - self.dice.between(0, STRETCH_SECS_MAX));
            revoke.until = Some(record.issued_at + self.dice.between(0, STRETCH_SECS_MAX));
        }
        self.count(what);
        let (since, until) = (revoke.since.unwrap_or(0), revoke.until.unwrap_or(u64::MAX));
        let sent = global_nanos();
        let reply = self.propose(computer, administrator(), Action::RevokeBefore(revoke)).await;
        let is_answered = match reply {
            Reply::Decided { outcome: Outcome::WatermarkSet { index }, .. } => {
                self.tell_mark(Mark { target: target.clone(), index, since, until }, record);
                if held.record.revocable && self.dice.percent(60) {
                    drop(NodeRuntime::spawn(Arc::clone(self).hunt(held.clone())));
                }
                true
            }
            Reply::Unknown => false,
            _ => return,
        };
        for user in house::USERS.into_iter().chain([house::ADMINISTRATOR]) {
            let subject = house::subject(&self.cluster.service, user).to_string();
            // Of whom all tokens end, it is certain; of whom some may, they may end at any time since.
            let ends_all = match &target {
                Target::Subject(one) if *one == subject => true,
                Target::Start(start) if subject.starts_with(start) => true,
                Target::Everyone => true,
                Target::Subject(_) | Target::Start(_) => continue,
                Target::Key(_) | Target::Group { .. } => false,
            };
            let is_certain = is_answered && ends_all && (since, until) == (0, u64::MAX);
            self.record_end_of(self.number_of(user), sent, is_certain);
        }
        if is_answered {
            self.hunt_abroad(&held);
        }
    }

    /// Whose tokens end, so that this one is among them; of a group, if it happens to be.
    fn target(&self, record: &TokenRecord) -> (&'static str, Whom, Target) {
        let subject = record.subject.to_string();
        match self.dice.between(0, 9) {
            0..=3 => {
                ("watermark on a subject", Whom::Subject(record.subject.clone()), Target::Subject(subject))
            }
            4..=5 => ("watermark on a key", Whom::Key(record.kid.clone()), Target::Key(record.kid.clone())),
            6..=7 => {
                let service = record.subject.service().clone();
                let most = if self.dice.percent(50) { "users/".len() } else { "users/a".len() };
                let start: String = record.subject.name().chars().take(most).collect();
                let target = Target::Start(format!("{service}/{start}"));
                ("watermark on subjects", Whom::Subjects { service, start }, target)
            }
            8 => {
                let name = self.dice.pick(&house::GROUPS).copied().unwrap_or("readers").to_owned();
                let target = Target::Group { name: name.clone(), members: BTreeSet::new() };
                ("watermark on a group", Whom::Group(name), target)
            }
            _ => ("watermark on everyone", Whom::Everyone, Target::Everyone),
        }
    }

    fn tell_mark(&self, mut mark: Mark, record: &TokenRecord) {
        let index = mark.index;
        if let Target::Group { members, .. } = &mut mark.target {
            *members = self.cluster.history.members_at(index);
        }
        let mark = Arc::new(mark);
        self.tell_mark_abroad(&mark);
        self.cluster.history.tell(&match mark.target {
            Target::Subject(_) if mark.is_of_all_time() => {
                Event::Watermark { subject: subject_number(record), index }
            }
            _ => Event::Marked(mark),
        });
    }

    /// Tells what watermarks go by in a token that clients have learnt of.
    pub(super) fn tell_known(&self, record: &TokenRecord) {
        let facts = Arc::new(Facts::of_record(record));
        self.cluster.history.tell(&Event::Known { id: record.id, facts });
    }
}
