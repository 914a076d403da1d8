//! One entry of a feed.

use sha2::{Digest, Sha256};

use super::bytes::{put_bytes, put_number, take, take_bytes, take_number};
use super::circle_key::Succession;
use crate::{KeyId, Subject, TokenId};

/// What was revoked, and which keys count. Frozen: the chain is made of these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEntry {
    /// A token, by its id and expiry; the largest number for one that never expires.
    Listed {
        /// Seconds since 1970.
        expiry: u64,
        /// The claim `jti`.
        id: TokenId,
    },
    /// A token of which the issuer knew nothing but the id, until the longest such token has expired.
    Unseen {
        /// Seconds since 1970.
        until: u64,
        /// The claim `jti`.
        id: TokenId,
    },
    /// All that was issued to some in a stretch of time, up to a point.
    Mark {
        /// To whom.
        whom: FeedWhom,
        /// Up to which point.
        mark: FeedMark,
    },
    /// Whatever a key signed.
    Tainted {
        /// The key.
        key: KeyId,
    },
    /// A token key that signs, or shall sign.
    KeyShown {
        /// Its root certificate, DER.
        certificate: Vec<u8>,
    },
    /// A token key signs from now on.
    KeyActive {
        /// The key.
        key: KeyId,
    },
    /// A token key verifies nothing any more: its last token is gone.
    KeyRetired {
        /// The key.
        key: KeyId,
    },
    /// The next circle key, named by the one before.
    CircleKey(Box<Succession>),
}

/// Whose tokens a watermark refuses; all of them tokens of the feed's issuer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FeedWhom {
    /// Everybody's.
    Everyone,
    /// All that a key signed.
    Key(KeyId),
    /// One subject's, as [`subject_digest`]: a feed names no user.
    Subject([u8; 32]),
    /// Those of the subjects whose name begins like this.
    Start(String),
    /// Those whose scope claims this group.
    Group(String),
}

/// The point up to which a watermark refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedMark {
    /// Tokens that carry a log index of the issuer are refused below this one.
    pub index: u64,
    /// Tokens without one are refused if issued up to this second.
    pub set_at: u64,
    /// The first second of issue that it covers.
    pub since: u64,
    /// The last second of issue that it covers.
    pub until: u64,
}

impl FeedMark {
    /// Whether it refuses a token that was issued at this second, and by this log index of the issuer if it carries one.
    #[must_use]
    pub fn refuses(&self, issued_at: u64, index: Option<u64>) -> bool {
        (self.since..=self.until).contains(&issued_at)
            && index.map_or(issued_at <= self.set_at, |index| index < self.index)
    }
}

const LISTED: u8 = 1;
const UNSEEN: u8 = 2;
const TAINTED: u8 = 3;
const EVERYONE_MARK: u8 = 4;
const KEY_MARK: u8 = 5;
const SUBJECT_MARK: u8 = 6;
const START_MARK: u8 = 7;
const GROUP_MARK: u8 = 8;
const KEY_SHOWN: u8 = 9;
const KEY_ACTIVE: u8 = 10;
const KEY_RETIRED: u8 = 11;
const CIRCLE_KEY: u8 = 12;

/// A subject as a feed names it: one installation speaks for the same users under each of its names, so only the unique
/// part of its service id counts.
#[must_use]
pub fn subject_digest(subject: &Subject) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(subject.service().ulid().as_bytes());
    hash.update([0]);
    hash.update(subject.name().as_bytes());
    hash.finalize().into()
}

impl FeedEntry {
    /// The entry's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        self.put(&mut out);
        out
    }

    /// Appends the entry's bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Listed { expiry, id } => put_id(LISTED, *expiry, id, out),
            Self::Unseen { until, id } => put_id(UNSEEN, *until, id, out),
            Self::Mark { whom, mark } => {
                whom.put(out);
                for number in [mark.index, mark.set_at, mark.since, mark.until] {
                    put_number(number.wrapping_add(1), out);
                }
            }
            Self::Tainted { key } => put_key(TAINTED, key, out),
            Self::KeyShown { certificate } => {
                out.push(KEY_SHOWN);
                put_bytes(certificate, out);
            }
            Self::KeyActive { key } => put_key(KEY_ACTIVE, key, out),
            Self::KeyRetired { key } => put_key(KEY_RETIRED, key, out),
            Self::CircleKey(succession) => {
                out.push(CIRCLE_KEY);
                succession.put(out);
            }
        }
    }

    /// Takes an entry off the front; `None` if it is cut off, or of a kind that this build doesn't know.
    #[must_use]
    pub fn take(rest: &mut &[u8]) -> Option<Self> {
        let [tag] = take(rest)?;
        match tag {
            LISTED => take_id(rest).map(|(expiry, id)| Self::Listed { expiry, id }),
            UNSEEN => take_id(rest).map(|(until, id)| Self::Unseen { until, id }),
            TAINTED => take_key(rest).map(|key| Self::Tainted { key }),
            KEY_SHOWN => Some(Self::KeyShown { certificate: take_bytes(rest)?.to_vec() }),
            KEY_ACTIVE => take_key(rest).map(|key| Self::KeyActive { key }),
            KEY_RETIRED => take_key(rest).map(|key| Self::KeyRetired { key }),
            CIRCLE_KEY => Succession::take(rest).map(|succession| Self::CircleKey(Box::new(succession))),
            tag => {
                let whom = FeedWhom::take(tag, rest)?;
                let mut number = || take_number(rest).map(|number| number.wrapping_sub(1));
                let mark =
                    FeedMark { index: number()?, set_at: number()?, since: number()?, until: number()? };
                Some(Self::Mark { whom, mark })
            }
        }
    }

    /// Reads entries to the end of the bytes; `None` if anything in them is not an entry.
    #[must_use]
    pub fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            entries.push(Self::take(&mut bytes)?);
        }
        Some(entries)
    }
}

impl FeedWhom {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Everyone => out.push(EVERYONE_MARK),
            Self::Key(key) => put_key(KEY_MARK, key, out),
            Self::Subject(digest) => {
                out.push(SUBJECT_MARK);
                out.extend_from_slice(digest);
            }
            Self::Start(text) => {
                out.push(START_MARK);
                put_bytes(text.as_bytes(), out);
            }
            Self::Group(text) => {
                out.push(GROUP_MARK);
                put_bytes(text.as_bytes(), out);
            }
        }
    }

    fn take(tag: u8, rest: &mut &[u8]) -> Option<Self> {
        match tag {
            EVERYONE_MARK => Some(Self::Everyone),
            KEY_MARK => take_key(rest).map(Self::Key),
            SUBJECT_MARK => take(rest).map(Self::Subject),
            START_MARK => take_text(rest).map(Self::Start),
            GROUP_MARK => take_text(rest).map(Self::Group),
            _ => None,
        }
    }
}

/// An expiry is written as the number after it, so that "never", the largest, is the one byte 0.
fn put_id(tag: u8, expiry: u64, id: &TokenId, out: &mut Vec<u8>) {
    out.push(tag);
    put_number(expiry.wrapping_add(1), out);
    out.extend_from_slice(&id.0);
}

fn take_id(rest: &mut &[u8]) -> Option<(u64, TokenId)> {
    let expiry = take_number(rest)?.wrapping_sub(1);
    Some((expiry, TokenId(take(rest)?)))
}

fn put_key(tag: u8, key: &KeyId, out: &mut Vec<u8>) {
    out.push(tag);
    put_bytes(key.as_str().as_bytes(), out);
}

fn take_key(rest: &mut &[u8]) -> Option<KeyId> {
    KeyId::parse(&take_text(rest)?).ok()
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    String::from_utf8(take_bytes(rest)?.to_vec()).ok()
}
