//! Our own revocation feed: where its chain stands, and its last entries. What is older is in the list only.

use circlet_token::feed::{FeedEntry, FeedPosition};
use imbl::OrdMap;

use crate::{
    codec::{DecodeError, Input, Wire, wire_struct},
    limits::FEED_WINDOW_ENTRIES_MAX,
};

/// The chain of what was revoked, for other clusters to follow. Equal logs give equal chains.
#[derive(Debug, Clone, Default)]
pub(crate) struct Feed {
    /// Its generation is the cluster's, and is filled in by whoever reads it.
    end: FeedPosition,
    /// The last entries, each with where the chain stands behind it, by sequence.
    recent: OrdMap<u64, Link>,
}

/// An entry, and the chain's hash behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) sequence: u64,
    pub(crate) entry: FeedEntry,
    pub(crate) hash: [u8; 32],
}
wire_struct!(Link { sequence, entry, hash });

impl Wire for FeedEntry {
    fn put(&self, out: &mut Vec<u8>) {
        Self::put(self, out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        input.part("a feed's entry", Self::take)
    }
}

wire_struct!(FeedPosition { generation, sequence, hash });

impl Feed {
    pub(crate) fn push(&mut self, entry: FeedEntry) {
        self.end = self.end.after(&entry);
        let FeedPosition { sequence, hash, .. } = self.end;
        self.recent.insert(sequence, Link { sequence, entry, hash });
        while self.recent.len() > FEED_WINDOW_ENTRIES_MAX {
            let Some(oldest) = self.recent.get_min().map(|(sequence, _)| *sequence) else { break };
            self.recent.remove(&oldest);
        }
    }

    pub(crate) fn end(&self) -> &FeedPosition {
        &self.end
    }

    pub(crate) fn recent(&self) -> impl Iterator<Item = &Link> {
        self.recent.values()
    }

    /// Whether the chain passed through there, as far back as is known.
    pub(crate) fn holds(&self, sequence: u64, hash: &[u8; 32]) -> bool {
        if sequence == self.end.sequence {
            return self.end.hash == *hash;
        }
        match self.recent.get(&sequence) {
            Some(link) => link.hash == *hash,
            None => sequence == 0 && *hash == [0; 32] && self.recent.contains_key(&1),
        }
    }

    /// What follows on a sequence, in order.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = &Link> {
        self.recent.range(sequence.saturating_add(1)..).map(|(_, link)| link)
    }

    pub(crate) fn restore_end(&mut self, end: FeedPosition) {
        self.end = end;
    }

    pub(crate) fn restore_link(&mut self, link: Link) {
        self.recent.insert(link.sequence, link);
    }

    /// What is wrong with it, for the invariants.
    pub(crate) fn violation(&self) -> Option<String> {
        let mut before: Option<&Link> = None;
        for link in self.recent.values() {
            if let Some(before) = before {
                let at = FeedPosition { generation: 0, sequence: before.sequence, hash: before.hash };
                let next = at.after(&link.entry);
                if (next.sequence, next.hash) != (link.sequence, link.hash) {
                    return Some(format!("the feed breaks at {}", link.sequence));
                }
            }
            before = Some(link);
        }
        let last = before.map_or((0, [0; 32]), |link| (link.sequence, link.hash));
        let ends = last == (self.end.sequence, self.end.hash);
        (!ends).then(|| format!("the feed ends at {:?}, its last entry at {}", self.end, last.0))
    }
}
