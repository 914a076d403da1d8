//! What an issuer revoked, as one who follows its feed keeps it.

use std::collections::{BTreeMap, BTreeSet};

use super::{FeedEntry, FeedMark, FeedWhom, subject_digest};
use crate::{Claims, KeyId, Revocation, TokenId, Verified};

/// The list. Nothing is taken back by an entry, so adding one twice changes nothing.
#[derive(Clone, Default)]
pub(super) struct FeedList {
    listed: BTreeSet<(u64, TokenId)>,
    unseen: BTreeMap<TokenId, u64>,
    marks: BTreeMap<FeedWhom, Marks>,
    tainted: BTreeSet<KeyId>,
    retired: BTreeSet<KeyId>,
}

/// The watermarks on one target, by the first second that each covers; they don't overlap.
type Marks = BTreeMap<u64, FeedMark>;

impl FeedList {
    pub(super) fn add(&mut self, entry: FeedEntry) {
        match entry {
            FeedEntry::Listed { expiry, id } => {
                self.listed.insert((expiry, id));
            }
            FeedEntry::Unseen { until, id } => {
                let known = self.unseen.entry(id).or_default();
                *known = until.max(*known);
            }
            FeedEntry::Mark { whom, mark } => {
                if mark.since <= mark.until {
                    cut_in(self.marks.entry(whom).or_default(), mark);
                }
            }
            FeedEntry::Tainted { key } => {
                self.tainted.insert(key);
            }
            FeedEntry::KeyRetired { key } => {
                self.retired.insert(key);
            }
            // Keys that count are with whoever follows.
            FeedEntry::KeyShown { .. } | FeedEntry::KeyActive { .. } | FeedEntry::CircleKey(_) => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        let marks = self.marks.values().map(BTreeMap::len).fold(0, usize::saturating_add);
        [self.listed.len(), self.unseen.len(), marks, self.tainted.len(), self.retired.len()]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// Whether its issuer said that a key verifies nothing any more, though it did not leak.
    pub(super) fn is_retired(&self, key: &KeyId) -> bool {
        self.retired.contains(key)
    }

    /// How a token of this issuer was revoked, if it was.
    pub(super) fn revocation(&self, verified: &Verified) -> Option<Revocation> {
        let claims = &verified.claims;
        if self.tainted.contains(&verified.key) {
            return Some(Revocation::KeyTainted { key: verified.key.clone() });
        }
        let expiry = claims.expires_at.unwrap_or(u64::MAX);
        let listed = |id: &TokenId| self.listed.contains(&(expiry, *id)) || self.unseen.contains_key(id);
        if claims.id.as_ref().is_some_and(listed) {
            return Some(Revocation::Listed);
        }
        self.is_below_a_mark(claims, &verified.key).then_some(Revocation::Watermark)
    }

    fn is_below_a_mark(&self, claims: &Claims, key: &KeyId) -> bool {
        if self.marks.is_empty() {
            return false;
        }
        let name = claims.subject.name();
        let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
        let starts = ends.filter_map(|end| name.get(..end)).map(|start| FeedWhom::Start(start.to_owned()));
        let groups = claims.scope.groups().map(|group| FeedWhom::Group(group.to_owned()));
        let whole = [
            FeedWhom::Everyone,
            FeedWhom::Key(key.clone()),
            FeedWhom::Subject(subject_digest(&claims.subject)),
        ];
        let mut named = whole.into_iter().chain(groups).chain(starts);
        named.any(|whom| self.marks.get(&whom).is_some_and(|marks| refused_by(marks, claims)))
    }

    /// Forgets ids of tokens that had expired by then.
    pub(super) fn forget_expired(&mut self, through: u64) {
        let behind = (through.saturating_add(1), TokenId([0; 16]));
        if self.listed.first().is_some_and(|first| *first < behind) {
            self.listed = self.listed.split_off(&behind);
        }
        self.unseen.retain(|_, until| *until > through);
    }

    /// All of it, in a fixed order.
    pub(super) fn entries(&self) -> impl Iterator<Item = FeedEntry> {
        let listed = self.listed.iter().map(|(expiry, id)| FeedEntry::Listed { expiry: *expiry, id: *id });
        let unseen = self.unseen.iter().map(|(id, until)| FeedEntry::Unseen { until: *until, id: *id });
        let marks = self.marks.iter().flat_map(|(whom, marks)| {
            marks.values().map(|mark| FeedEntry::Mark { whom: whom.clone(), mark: *mark })
        });
        let tainted = self.tainted.iter().map(|key| FeedEntry::Tainted { key: key.clone() });
        let retired = self.retired.iter().map(|key| FeedEntry::KeyRetired { key: key.clone() });
        listed.chain(unseen).chain(marks).chain(tainted).chain(retired)
    }
}

fn refused_by(marks: &Marks, claims: &Claims) -> bool {
    let covering = marks.range(..=claims.issued_at).next_back();
    covering.is_some_and(|(_, mark)| mark.refuses(claims.issued_at, claims.index))
}

/// Of two marks on the same target the later one refuses more: it is put in, and of the others is left what it does not
/// cover.
fn cut_in(marks: &mut Marks, mark: FeedMark) {
    let reaching = marks.range(..=mark.until).rev().map(|(_, other)| *other);
    let overlapping: Vec<FeedMark> = reaching.take_while(|other| other.until >= mark.since).collect();
    for other in overlapping {
        marks.remove(&other.since);
        if other.until > mark.until {
            let since = mark.until.saturating_add(1);
            marks.insert(since, FeedMark { since, ..other });
        }
        if other.since < mark.since {
            marks.insert(other.since, FeedMark { until: mark.since.saturating_sub(1), ..other });
        }
    }
    marks.insert(mark.since, mark);
}
