//! Watermarks: "whatever was issued before", one entry for any number of tokens. The other half of the revocation list.
//!
//! A mark covers a stretch of seconds of issue. Of two marks on the same target the later one has the higher log index and
//! refuses more, so only the latest counts for any one second: the marks of a target are kept as stretches that do not
//! overlap, later ones cut out of earlier ones. That is why their number needs no limit that could refuse a revoke: each
//! adds two stretches at most, and one that covers all time leaves nothing of what was there. A token is looked up with
//! one step in an ordered map for each kind of target, and a few for the beginnings of its subject.

use std::borrow::Cow;

use circlet_token::{KeyId, Scope, ServiceId, Subject};
use imbl::OrdMap;

use crate::{command::Whom, floor::set_or_changed, judge::Facts, record::Watermark};

/// The marks of one target, by the first second that each covers.
pub(super) type Marks = OrdMap<u64, Watermark>;

/// What was issued and is refused together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watermarks {
    everyone: Marks,
    keys: OrdMap<KeyId, Marks>,
    /// By [`under_one_name`].
    subjects: OrdMap<Subject, Marks>,
    /// By [`start_of`].
    starts: OrdMap<String, Marks>,
    groups: OrdMap<String, Marks>,
}

impl Watermarks {
    /// Set a mark. It is later than all that are there.
    pub(crate) fn set(&mut self, whom: &Whom, mark: Watermark) {
        if mark.since > mark.until {
            return;
        }
        match whom {
            Whom::Everyone => cut_in(&mut self.everyone, mark),
            Whom::Key(kid) => cut_in(self.keys.entry(kid.clone()).or_default(), mark),
            Whom::Subject(subject) => {
                cut_in(self.subjects.entry(under_one_name(subject).into_owned()).or_default(), mark);
            }
            Whom::Subjects { service, start } => {
                cut_in(self.starts.entry(start_of(service, start)).or_default(), mark);
            }
            Whom::Group(name) => cut_in(self.groups.entry(name.clone()).or_default(), mark),
        }
    }

    /// Whether a mark refuses a token with this log index. `own`: this cluster issued it.
    pub(crate) fn refuse(&self, facts: &Facts<'_>, index: Option<u64>, own: bool) -> bool {
        self.refuse_the_subject(facts, index) || self.refuse_otherwise(facts, index, own)
    }

    fn refuse_the_subject(&self, facts: &Facts<'_>, index: Option<u64>) -> bool {
        !self.subjects.is_empty()
            && refused_by(self.subjects.get(under_one_name(facts.subject).as_ref()), facts, index)
    }

    /// The same, but for the marks on its subject alone.
    pub(crate) fn refuse_otherwise(&self, facts: &Facts<'_>, index: Option<u64>, own: bool) -> bool {
        refused_by(self.keys.get(facts.key), facts, index)
            || (own && refused_by(Some(&self.everyone), facts, index))
            || self.refuse_the_start(facts, index)
            || self.refuse_a_group(facts, index)
    }

    fn refuse_a_group(&self, facts: &Facts<'_>, index: Option<u64>) -> bool {
        if self.groups.is_empty() {
            return false;
        }
        let mut claimed = facts.scope.into_iter().flat_map(Scope::groups);
        claimed.any(|group| refused_by(self.groups.get(group), facts, index))
    }

    /// Goes down from the whole subject, each time to the greatest start that is not behind it: that one is a start of the
    /// subject, or all that are have nothing beyond what both begin with.
    fn refuse_the_start(&self, facts: &Facts<'_>, index: Option<u64>) -> bool {
        if self.starts.is_empty() {
            return false;
        }
        let whole = start_of(facts.subject.service(), facts.subject.name());
        let mut rest = whole.as_str();
        loop {
            let Some((found, marks)) = self.starts.get_prev(rest) else { return false };
            if whole.starts_with(found.as_str()) && refused_by(Some(marks), facts, index) {
                return true;
            }
            let common = common_start(&whole, found);
            let shorter = if common.len() < found.len() { common } else { without_last(common) };
            if shorter.is_empty() {
                return false;
            }
            rest = shorter;
        }
    }

    /// Forget up to `most` marks that refuse nothing any more, as `is_idle` says; returns how many.
    pub(crate) fn forget(&mut self, most: usize, is_idle: impl Fn(&Whom, &Watermark) -> bool) -> usize {
        let idle: Vec<(Whom, u64)> = self
            .iter()
            .filter(|(whom, mark)| is_idle(whom, mark))
            .map(|(whom, mark)| (whom, mark.since))
            .take(most)
            .collect();
        for (whom, since) in &idle {
            self.remove(whom, *since);
        }
        idle.len()
    }

    fn remove(&mut self, whom: &Whom, since: u64) {
        match whom {
            Whom::Everyone => drop(self.everyone.remove(&since)),
            Whom::Key(kid) => remove_from(&mut self.keys, kid, since),
            Whom::Subject(subject) => {
                remove_from(&mut self.subjects, under_one_name(subject).as_ref(), since);
            }
            Whom::Subjects { service, start } => {
                remove_from(&mut self.starts, &start_of(service, start), since);
            }
            Whom::Group(name) => remove_from(&mut self.groups, name, since),
        }
    }

    /// Whether they are those of `before`, told in constant time; `false` says nothing.
    pub(crate) fn is_same(&self, before: &Self) -> bool {
        self.everyone.ptr_eq(&before.everyone)
            && self.keys.ptr_eq(&before.keys)
            && self.subjects.ptr_eq(&before.subjects)
            && self.starts.ptr_eq(&before.starts)
            && self.groups.ptr_eq(&before.groups)
    }

    /// The marks that `before` doesn't have like that, in time that follows their number.
    pub(crate) fn since(&self, before: &Self) -> Vec<(Whom, Watermark)> {
        let everyone = set_or_changed(&before.everyone, &self.everyone);
        let mut found: Vec<_> = everyone.map(|(_, mark)| (Whom::Everyone, *mark)).collect();
        find(&mut found, &before.keys, &self.keys, |kid| Some(Whom::Key(kid.clone())));
        find(&mut found, &before.subjects, &self.subjects, |subject| Some(Whom::Subject(subject.clone())));
        find(&mut found, &before.starts, &self.starts, |start| subjects_of(start));
        find(&mut found, &before.groups, &self.groups, |name| Some(Whom::Group(name.clone())));
        found
    }

    /// All marks in a fixed order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Whom, Watermark)> {
        let everyone = self.everyone.values().map(|mark| (Whom::Everyone, *mark));
        let keys = self
            .keys
            .iter()
            .flat_map(|(kid, marks)| marks.values().map(|mark| (Whom::Key(kid.clone()), *mark)));
        let subjects = self
            .subjects
            .iter()
            .flat_map(|(subject, marks)| marks.values().map(|mark| (Whom::Subject(subject.clone()), *mark)));
        let starts = self.starts.iter().filter_map(|(start, marks)| Some((subjects_of(start)?, marks)));
        let starts = starts.flat_map(|(whom, marks)| marks.values().map(move |mark| (whom.clone(), *mark)));
        let groups = self
            .groups
            .iter()
            .flat_map(|(name, marks)| marks.values().map(|mark| (Whom::Group(name.clone()), *mark)));
        everyone.chain(keys).chain(subjects).chain(starts).chain(groups)
    }
}

fn find<K: Ord>(
    found: &mut Vec<(Whom, Watermark)>,
    before: &OrdMap<K, Marks>,
    now: &OrdMap<K, Marks>,
    whom: impl Fn(&K) -> Option<Whom>,
) {
    let none = Marks::new();
    for (key, marks) in set_or_changed(before, now) {
        let Some(whom) = whom(key) else { continue };
        let changed = set_or_changed(before.get(key).unwrap_or(&none), marks);
        found.extend(changed.map(|(_, mark)| (whom.clone(), *mark)));
    }
}

pub(super) fn refused_by(marks: Option<&Marks>, facts: &Facts<'_>, index: Option<u64>) -> bool {
    let covering = marks.and_then(|marks| marks.get_prev(&facts.issued_at));
    covering.is_some_and(|(_, mark)| mark.refuses(facts.issued_at, index))
}

/// Put a mark in, and leave of the others what it does not cover.
pub(super) fn cut_in(marks: &mut Marks, mark: Watermark) {
    let reaching = marks.range(..=mark.until).rev().map(|(_, other)| *other);
    let overlapping: Vec<Watermark> = reaching.take_while(|other| other.until >= mark.since).collect();
    for other in overlapping {
        marks.remove(&other.since);
        if other.until > mark.until {
            let since = mark.until.saturating_add(1);
            marks.insert(since, Watermark { since, ..other });
        }
        if other.since < mark.since {
            marks.insert(other.since, Watermark { until: mark.since.saturating_sub(1), ..other });
        }
    }
    marks.insert(mark.since, mark);
}

fn remove_from<K: Ord + Clone>(map: &mut OrdMap<K, Marks>, key: &K, since: u64) {
    let Some(marks) = map.get_mut(key) else { return };
    marks.remove(&since);
    if marks.is_empty() {
        map.remove(key);
    }
}

/// One installation signs as `jfrt@X`, `jfac@X` or `jffe@X`, and all of them speak for the same users: what is said of a
/// subject holds under each of its names.
fn under_one_name(subject: &Subject) -> Cow<'_, Subject> {
    let service = subject.service();
    if service.kind() == KIND {
        return Cow::Borrowed(subject);
    }
    let name = subject.name();
    let slash = if name.is_empty() { "" } else { "/" };
    Subject::parse(&format!("{KIND}@{}{slash}{name}", service.ulid()))
        .map_or(Cow::Borrowed(subject), Cow::Owned)
}

const KIND: &str = "jfrt";

/// The beginning of a subject, whatever the kind of its service.
fn start_of(service: &ServiceId, start: &str) -> String {
    format!("{}/{start}", service.ulid())
}

/// The reverse of [`start_of`].
fn subjects_of(start: &str) -> Option<Whom> {
    let (ulid, start) = start.split_once('/')?;
    let service = ServiceId::parse(&format!("{KIND}@{ulid}")).ok()?;
    Some(Whom::Subjects { service, start: start.to_owned() })
}

/// What two texts begin with.
fn common_start<'a>(text: &'a str, other: &str) -> &'a str {
    let same = text.chars().zip(other.chars()).take_while(|(one, two)| one == two);
    let length = same.fold(0_usize, |sum, (one, _)| sum.saturating_add(one.len_utf8()));
    text.get(..length).unwrap_or_default()
}

fn without_last(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next_back();
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use circlet_token::{KeyId, ServiceId, Subject};

    use super::{Watermark, Watermarks};
    use crate::{command::Whom, judge::Facts};

    const OURS: &str = "jfrt@01hq0000000000000000000001";

    fn mark(index: u64, since: u64, until: u64) -> Watermark {
        Watermark { index, set_at: 0, since, until, plain_until: 0 }
    }

    fn refused(marks: &Watermarks, subject: &str, issued_at: u64, index: Option<u64>) -> bool {
        let (subject, key) = (Subject::parse(subject).unwrap(), KeyId::of_certificate(b"k"));
        let facts = Facts {
            subject: &subject,
            id: None,
            key: &key,
            issued_at,
            expires_at: None,
            index,
            says_revocable: None,
            is_user: false,
            scope: None,
            audience: None,
        };
        marks.refuse(&facts, index, true)
    }

    #[test]
    fn of_marks_that_overlap_the_latest_counts_for_each_second() {
        let mut marks = Watermarks::default();
        let rows = [(5, 100, 200), (6, 150, 160), (7, 190, 300), (8, 90, 110), (9, 155, 155)];
        let mut so_far = Vec::new();
        for (index, since, until) in rows {
            marks.set(&Whom::Everyone, mark(index, since, until));
            so_far.push((index, since, until));
            for issued_at in 80..320 {
                let latest =
                    so_far.iter().rev().find(|(_, since, until)| (*since..=*until).contains(&issued_at));
                for token in 0..12 {
                    let wanted = latest.is_some_and(|(index, _, _)| token < *index);
                    assert_eq!(refused(&marks, OURS, issued_at, Some(token)), wanted, "{issued_at} {token}");
                }
            }
        }
        assert_eq!(marks.iter().count(), 7);
        marks.set(&Whom::Everyone, mark(10, 0, u64::MAX));
        assert_eq!(marks.iter().count(), 1);
    }

    #[test]
    fn a_subject_is_found_by_any_of_its_beginnings() {
        let service = ServiceId::parse(OURS).unwrap();
        let mut marks = Watermarks::default();
        for start in ["users/ci-", "users/ci-a-b", "users/é", "users/zz", "pipeline/"] {
            let whom = Whom::Subjects { service: service.clone(), start: start.to_owned() };
            marks.set(&whom, mark(5, 0, u64::MAX));
        }
        for (name, wanted) in [
            ("users/ci-1", true),
            ("users/ci-", true),
            ("users/ci", false),
            ("users/ci-a-a", true),
            ("users/ci-a-c", true),
            ("users/ci.", false),
            ("users/éa", true),
            ("users/è", false),
            ("users/zy", false),
            ("users/zzz", true),
            ("pipeline/x", true),
            ("users/alice", false),
        ] {
            assert_eq!(refused(&marks, &format!("{OURS}/{name}"), 1, Some(4)), wanted, "{name}");
        }
        assert!(refused(&marks, "jfac@01hq0000000000000000000001/users/ci-1", 1, Some(4)));
        assert!(!refused(&marks, "jfrt@01hq0000000000000000000002/users/ci-1", 1, Some(4)));
    }
}
