//! What another cluster revoked, as its feed told us.

use circlet_token::{
    KeyId, Scope, TokenId,
    feed::{FeedEntry, FeedMark, FeedWhom, subject_digest},
};
use imbl::{OrdMap, OrdSet};

use super::watermarks::{Marks, cut_in, refused_by};
use crate::{judge::Facts, record::Watermark};

/// The list of one member of the circle. Cloning it costs a constant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Followed {
    listed: OrdSet<(u64, TokenId)>,
    unseen: OrdMap<TokenId, u64>,
    marks: OrdMap<FeedWhom, Marks>,
    tainted: OrdSet<KeyId>,
    retired: OrdSet<KeyId>,
}

impl Followed {
    /// Nothing is ever taken back by an entry: of two watermarks on the same the later one refuses more.
    pub(crate) fn add(&mut self, entry: FeedEntry) {
        match entry {
            FeedEntry::Listed { expiry, id } => {
                self.listed.insert((expiry, id));
            }
            FeedEntry::Unseen { until, id } => {
                let until = self.unseen.get(&id).map_or(until, |before| until.max(*before));
                self.unseen.insert(id, until);
            }
            FeedEntry::Mark { whom, mark } => {
                let FeedMark { index, set_at, since, until } = mark;
                if since <= until {
                    // Only the issuer can tell when it refuses nothing any more.
                    let mark = Watermark { index, set_at, since, until, plain_until: u64::MAX };
                    cut_in(self.marks.entry(whom).or_default(), mark);
                }
            }
            FeedEntry::Tainted { key } => {
                self.tainted.insert(key);
            }
            FeedEntry::KeyRetired { key } => {
                self.retired.insert(key);
            }
            // Keys that count are among the trusted issuers, and the circle key with the member.
            FeedEntry::KeyShown { .. } | FeedEntry::KeyActive { .. } | FeedEntry::CircleKey(_) => {}
        }
    }

    pub(crate) fn len(&self) -> usize {
        let marks = self.marks.values().map(OrdMap::len).fold(0, usize::saturating_add);
        [self.listed.len(), self.unseen.len(), marks, self.tainted.len(), self.retired.len()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    pub(crate) fn is_listed(&self, id: &TokenId, expiry: u64) -> bool {
        self.listed.contains(&(expiry, *id)) || self.unseen.contains_key(id)
    }

    pub(crate) fn is_tainted(&self, key: &KeyId) -> bool {
        self.tainted.contains(key)
    }

    /// Whether its issuer said that a key verifies nothing any more.
    pub(crate) fn has_ended(&self, key: &KeyId) -> bool {
        self.tainted.contains(key) || self.retired.contains(key)
    }

    /// Whether a watermark refuses a token of this issuer.
    pub(crate) fn refuses(&self, facts: &Facts<'_>) -> bool {
        if self.marks.is_empty() {
            return false;
        }
        let refused = |whom: &FeedWhom| refused_by(self.marks.get(whom), facts, facts.index);
        let groups = facts.scope.into_iter().flat_map(Scope::groups);
        refused(&FeedWhom::Everyone)
            || refused(&FeedWhom::Key(facts.key.clone()))
            || refused(&FeedWhom::Subject(subject_digest(facts.subject)))
            || groups.map(|group| FeedWhom::Group(group.to_owned())).any(|whom| refused(&whom))
            || self.refuse_the_start(facts, refused)
    }

    fn refuse_the_start(&self, facts: &Facts<'_>, refused: impl Fn(&FeedWhom) -> bool) -> bool {
        let first = self.marks.range(FeedWhom::Start(String::new())..).next();
        if !first.is_some_and(|(whom, _)| matches!(whom, FeedWhom::Start(_))) {
            return false;
        }
        let name = facts.subject.name();
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        ends.filter_map(|end| name.get(..end)).any(|start| refused(&FeedWhom::Start(start.to_owned())))
    }

    /// Forget up to `most` ids that expired at `through` or before; returns how many.
    pub(crate) fn forget_expired(&mut self, through: u64, most: usize) -> usize {
        let range = ..=(through, TokenId([0xff; 16]));
        let gone: Vec<(u64, TokenId)> = self.listed.range(range).take(most).copied().collect();
        for entry in &gone {
            self.listed.remove(entry);
        }
        let room = most.saturating_sub(gone.len());
        let unseen = self.unseen.iter().filter(|(_, until)| **until <= through).map(|(id, _)| *id);
        let unseen: Vec<TokenId> = unseen.take(room).collect();
        for id in &unseen {
            self.unseen.remove(id);
        }
        gone.len().saturating_add(unseen.len())
    }

    /// The list as entries, in a fixed order: for snapshots.
    pub(crate) fn entries(&self) -> impl Iterator<Item = FeedEntry> {
        let listed = self.listed.iter().map(|(expiry, id)| FeedEntry::Listed { expiry: *expiry, id: *id });
        let unseen = self.unseen.iter().map(|(id, until)| FeedEntry::Unseen { until: *until, id: *id });
        let marks = self.marks.iter().flat_map(|(whom, marks)| {
            marks.values().map(|mark| FeedEntry::Mark { whom: whom.clone(), mark: as_feed_mark(mark) })
        });
        let tainted = self.tainted.iter().map(|key| FeedEntry::Tainted { key: key.clone() });
        let retired = self.retired.iter().map(|key| FeedEntry::KeyRetired { key: key.clone() });
        listed.chain(unseen).chain(marks).chain(tainted).chain(retired)
    }
}

/// A watermark as a feed tells it.
pub(super) fn as_feed_mark(mark: &Watermark) -> FeedMark {
    FeedMark { index: mark.index, set_at: mark.set_at, since: mark.since, until: mark.until }
}
