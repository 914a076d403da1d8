//! Revoked ids with their expiry: one half of the revocation list. Its size follows what was revoked, whatever was issued.

use std::ops::Bound;

use circlet_token::{TokenId, feed::FeedEntry};
use imbl::{OrdMap, OrdSet};

use super::Feed;
use crate::{
    codec::wire_struct,
    floor::{FloorFact, added, set_or_changed},
    limits::REVOKED_LATELY_IDS_MAX,
    record::FamilyId,
};

/// What is refused although its signature is good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revocations {
    /// Ordered by expiry, so that what has expired is one range; a token's claims hold both halves of the key.
    listed: OrdSet<(u64, TokenId)>,
    /// Ids that were revoked without being recorded, until the second at which the longest such token has expired.
    unseen: OrdMap<TokenId, u64>,
    /// The last revoked ids by id alone, to tell "already revoked" from "unknown" and to find their families.
    lately: OrdMap<TokenId, Lately>,
    /// Derived: `lately` in the order of revoking.
    lately_order: OrdMap<u64, TokenId>,
    /// All that was revoked in the order in which it came, for other clusters.
    feed: Feed,
}

/// A revoked id, for as long as it is among the last [`REVOKED_LATELY_IDS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lately {
    /// Counts revokes; smaller is earlier.
    pub(crate) order: u64,
    /// The token's expiry, seconds; the largest number for one that has none.
    pub(crate) expiry: u64,
    /// The family it belonged to.
    pub(crate) family: Option<FamilyId>,
}
wire_struct!(Lately { order, expiry, family });

impl Revocations {
    pub(crate) fn len(&self) -> usize {
        self.listed.len()
    }

    pub(crate) fn unseen_len(&self) -> usize {
        self.unseen.len()
    }

    /// List an id until `expiry`. Returns whether it was new.
    pub(crate) fn list(&mut self, id: TokenId, expiry: u64, family: Option<FamilyId>) -> bool {
        if self.listed.insert((expiry, id)).is_some() {
            return false;
        }
        self.feed.push(FeedEntry::Listed { expiry, id });
        let last = self.lately_order.get_max().map_or(0, |(order, _)| *order);
        self.remember(id, Lately { order: last.saturating_add(1), expiry, family });
        while self.lately_order.len() > REVOKED_LATELY_IDS_MAX {
            let Some((oldest, id)) = self.lately_order.get_min().copied() else { break };
            self.lately_order.remove(&oldest);
            self.lately.remove(&id);
        }
        true
    }

    /// List an id of which nothing is known. Returns whether it was new.
    pub(crate) fn list_unseen(&mut self, id: TokenId, until: u64) -> bool {
        let more = self.restore_unseen(id, until);
        if more {
            self.feed.push(FeedEntry::Unseen { until, id });
        }
        more
    }

    /// Tell others what was revoked otherwise than by id: watermarks and keys.
    pub(crate) fn tell(&mut self, entry: FeedEntry) {
        self.feed.push(entry);
    }

    pub(crate) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(crate) fn feed_mut(&mut self) -> &mut Feed {
        &mut self.feed
    }

    pub(crate) fn unseen_behind(&self, after: Bound<TokenId>) -> impl Iterator<Item = (&TokenId, &u64)> {
        self.unseen.range((after, Bound::Unbounded))
    }

    pub(crate) fn listed_behind(
        &self,
        after: Bound<(u64, TokenId)>,
    ) -> impl Iterator<Item = &(u64, TokenId)> {
        self.listed.range((after, Bound::Unbounded))
    }

    pub(crate) fn is_listed(&self, id: &TokenId, expiry: u64) -> bool {
        self.listed.contains(&(expiry, *id)) || self.unseen.contains_key(id)
    }

    pub(crate) fn lately(&self, id: &TokenId) -> Option<&Lately> {
        self.lately.get(id)
    }

    pub(crate) fn unseen_until(&self, id: &TokenId) -> Option<u64> {
        self.unseen.get(id).copied()
    }

    /// Forget up to `most` ids that expired at `through` or before; returns how many.
    pub(crate) fn forget_expired(&mut self, through: u64, most: usize) -> usize {
        let range = ..=(through, TokenId([0xff; 16]));
        let gone: Vec<(u64, TokenId)> = self.listed.range(range).take(most).copied().collect();
        for entry in &gone {
            self.listed.remove(entry);
            if let Some(lately) = self.lately.remove(&entry.1) {
                self.lately_order.remove(&lately.order);
            }
        }
        let room = most.saturating_sub(gone.len());
        let unseen = self.unseen.iter().filter(|(_, until)| **until <= through).map(|(id, _)| *id);
        let unseen: Vec<TokenId> = unseen.take(room).collect();
        for id in &unseen {
            self.unseen.remove(id);
        }
        gone.len().saturating_add(unseen.len())
    }

    /// Whether they are those of `before`, told in constant time; `false` says nothing.
    pub(crate) fn is_same(&self, before: &Self) -> bool {
        self.listed.ptr_eq(&before.listed) && self.unseen.ptr_eq(&before.unseen)
    }

    /// The ids that were listed since, in time that follows their number.
    pub(crate) fn listed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = FloorFact> + 'a {
        let listed = added(&before.listed, &self.listed);
        listed.map(|(expiry, id)| FloorFact::Listed { expiry: *expiry, id: *id })
    }

    /// Those of which nothing was known that are listed since, or for longer.
    pub(crate) fn unseen_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = FloorFact> + 'a {
        let unseen = set_or_changed(&before.unseen, &self.unseen);
        unseen.map(|(id, until)| FloorFact::Unseen { id: *id, until: *until })
    }

    // For snapshots: each part in order, and back.

    pub(crate) fn listed(&self) -> impl Iterator<Item = &(u64, TokenId)> {
        self.listed.iter()
    }

    pub(crate) fn unseen(&self) -> impl Iterator<Item = (&TokenId, &u64)> {
        self.unseen.iter()
    }

    pub(crate) fn latest(&self) -> impl Iterator<Item = (&TokenId, &Lately)> {
        self.lately.iter()
    }

    pub(crate) fn restore_unseen(&mut self, id: TokenId, until: u64) -> bool {
        self.unseen.insert(id, until).is_none_or(|before| before < until)
    }

    pub(crate) fn remember(&mut self, id: TokenId, lately: Lately) {
        self.lately_order.insert(lately.order, id);
        // The same id may be listed once more, with another expiry.
        if let Some(before) = self.lately.insert(id, lately) {
            self.lately_order.remove(&before.order);
        }
    }

    /// The sizes of `lately` and its derived order, for the invariants.
    pub(crate) fn lately_sizes(&self) -> (usize, usize) {
        (self.lately.len(), self.lately_order.len())
    }
}

/// Entries that are kept back at most while a list is restored.
const KEPT_BACK_MAX: usize = 1_024;

/// Restores the list from entries that come in order. In a tree that is filled in order every leaf splits when it is full,
/// and its first half is never added to again: the list would take twice the memory. So each second entry is kept back for a
/// while, and finds room in a leaf that has split before.
#[derive(Debug, Default)]
pub(crate) struct InOrder {
    kept_back: Vec<(u64, TokenId)>,
    keep: bool,
}

impl InOrder {
    pub(crate) fn restore(&mut self, into: &mut Revocations, entry: (u64, TokenId)) {
        if self.keep {
            self.kept_back.push(entry);
        } else {
            into.listed.insert(entry);
        }
        self.keep = !self.keep;
        if self.kept_back.len() == KEPT_BACK_MAX {
            self.finish(into);
        }
    }

    /// There are no more.
    pub(crate) fn finish(&mut self, into: &mut Revocations) {
        into.listed.extend(self.kept_back.drain(..));
    }
}

#[cfg(test)]
mod tests {
    use circlet_token::TokenId;

    use super::{InOrder, KEPT_BACK_MAX, Revocations};

    #[test]
    fn what_is_restored_in_order_is_all_there_however_many_they_are() {
        for count in [0, 1, 2, 2 * KEPT_BACK_MAX - 1, 2 * KEPT_BACK_MAX, 5 * KEPT_BACK_MAX + 1] {
            let entries: Vec<(u64, TokenId)> = (0_u64..)
                .map(|number| (number / 3, TokenId(u128::from(number).to_be_bytes())))
                .take(count)
                .collect();
            let (mut into, mut in_order) = (Revocations::default(), InOrder::default());
            for entry in &entries {
                in_order.restore(&mut into, *entry);
            }
            in_order.finish(&mut into);
            assert!(into.listed().eq(&entries), "{count} entries");
        }
    }
}
