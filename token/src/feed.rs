//! The revocation feed of a cluster: what it revoked, in the order in which it did, as a hash chain that others follow.
//!
//! Each entry extends the chain: `hash(n) = SHA-256(hash(n-1), entry n)`, and the chain begins with zeros. Where it stands is
//! signed with the issuer's *circle key*, which signs no tokens, together with the nonce of whoever asks: so an answer is
//! never older than the question, whatever any wall clock says. Entries that are older than what an issuer keeps of its
//! chain are told as a list, page by page, and the chain goes on from where the first page stood.
//!
//! The chain also tells the issuer's token keys, before they sign, and its next circle key. A token key vouches for nothing.

mod answer;
mod bytes;
mod circle_key;
mod dated;
mod entry;
mod follow;
mod follower;
mod list;
mod taken;
mod token_key;

pub use answer::{FeedAnswer, FeedContent, FeedHead};
pub use circle_key::{CirclePublicKey, SUCCESSIONS_MAX, Succession, new_successions};
pub use dated::{DATED_HEAD_BYTES_MAX, DatedHead};
pub use entry::{FeedEntry, FeedMark, FeedWhom, subject_digest};
pub use follow::{FeedFault, FeedHeard, FeedStep, Question, check_answer};
pub(crate) use follower::can_be_revoked;
pub use follower::{FeedWant, Follower, HEAD_AHEAD_MS_MAX, HeadFault};
use list::FeedList;
pub use taken::Taken;
pub use token_key::{TokenKeyFault, check_token_key};

use sha2::{Digest, Sha256};

/// The most bytes of entries in one answer.
pub const FEED_CONTENT_BYTES_MAX: usize = 32 * 1024;

/// The most bytes of one answer, all told: whoever follows reads no more.
pub const FEED_ANSWER_BYTES_MAX: usize = FEED_CONTENT_BYTES_MAX + 24 * 1024;

/// The largest certificate that a feed tells, in bytes.
pub const FEED_CERTIFICATE_BYTES_MAX: usize = 4 * 1024;

/// A point of a feed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedPosition {
    /// The issuer's generation: a restored cluster starts a higher one, and its chain is another.
    pub generation: u64,
    /// How many entries lead here.
    pub sequence: u64,
    /// The chain's hash after them.
    pub hash: [u8; 32],
}

impl FeedPosition {
    /// The point after one more entry.
    #[must_use]
    pub fn after(&self, entry: &FeedEntry) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.hash);
        hash.update(entry.to_bytes());
        Self { sequence: self.sequence.saturating_add(1), hash: hash.finalize().into(), ..*self }
    }

    /// The point after these entries.
    #[must_use]
    pub fn after_all<'a>(&self, entries: impl IntoIterator<Item = &'a FeedEntry>) -> Self {
        entries.into_iter().fold(*self, |at, entry| at.after(entry))
    }

    fn put(&self, out: &mut Vec<u8>) {
        bytes::put_number(self.generation, out);
        bytes::put_number(self.sequence, out);
        out.extend_from_slice(&self.hash);
    }

    fn take(rest: &mut &[u8]) -> Option<Self> {
        let (generation, sequence) = (bytes::take_number(rest)?, bytes::take_number(rest)?);
        Some(Self { generation, sequence, hash: bytes::take(rest)? })
    }
}

impl std::fmt::Debug for FeedPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second, third, ..] = self.hash;
        write!(f, "{}.{} ({first:02x}{second:02x}{third:02x})", self.generation, self.sequence)
    }
}
