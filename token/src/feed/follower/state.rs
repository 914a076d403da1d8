//! A follower's bytes, for the caller to keep.

use super::{DatedHead, FeedList, Follower, Progress};
use crate::feed::bytes::{put_bytes, put_number, take, take_bytes, take_issuer, take_number};
use crate::feed::{FeedEntry, FeedPosition, circle_public_key};

/// The first byte.
const VERSION: u8 = 1;

const READING: u8 = 1;
const FOLLOWING: u8 = 2;
const BROKEN: u8 = 3;

impl Follower {
    /// All that it knows: some 22 bytes for each revoked id, and a few hundred more.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_bytes(self.issuer.as_str().as_bytes(), &mut out);
        put_bytes(self.key.spki_der(), &mut out);
        put_number(self.entries_max, &mut out);
        put_number(self.clock_ms, &mut out);
        match &self.progress {
            Progress::Reading { from, next, before } => {
                out.push(READING);
                put_position(from.as_ref(), &mut out);
                put_bytes(next, &mut out);
                put_position(before.as_ref(), &mut out);
            }
            Progress::Following(at) => {
                out.push(FOLLOWING);
                at.put(&mut out);
            }
            Progress::Broken => out.push(BROKEN),
        }
        put_bytes(&self.head.as_ref().map(DatedHead::to_bytes).unwrap_or_default(), &mut out);
        // How many there are: bytes that were cut off between two entries are none of ours.
        put_number(u64::try_from(self.list.len()).unwrap_or(u64::MAX), &mut out);
        self.list.entries().for_each(|entry| entry.put(&mut out));
        out
    }

    /// Reads them back; `None` if they are none, or cut off.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let [VERSION] = take(rest)? else { return None };
        let issuer = take_issuer(rest)?;
        let key = circle_public_key(take_bytes(rest)?, &issuer)?;
        let (entries_max, clock_ms) = (take_number(rest)?, take_number(rest)?);
        // A position, or that there is none.
        let position = |rest: &mut &[u8]| match take(rest)? {
            [0] => Some(None),
            [1] => FeedPosition::take(rest).map(Some),
            _ => None,
        };
        let progress = match take(rest)? {
            [READING] => Progress::Reading {
                from: position(rest)?,
                next: take_bytes(rest)?.to_vec(),
                before: position(rest)?,
            },
            [FOLLOWING] => Progress::Following(FeedPosition::take(rest)?),
            [BROKEN] => Progress::Broken,
            _ => return None,
        };
        let head = match take_bytes(rest)? {
            [] => None,
            head => Some(DatedHead::read(head)?),
        };
        let count = take_number(rest)?;
        let mut list = FeedList::default();
        while !rest.is_empty() {
            list.add(FeedEntry::take(rest)?);
        }
        let whole = u64::try_from(list.len()) == Ok(count);
        whole.then_some(Self { issuer, key, entries_max, list, progress, head, clock_ms })
    }
}

fn put_position(position: Option<&FeedPosition>, out: &mut Vec<u8>) {
    out.push(u8::from(position.is_some()));
    if let Some(position) = position {
        position.put(out);
    }
}
