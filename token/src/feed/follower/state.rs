//! A follower's bytes, for the caller to keep.

use std::collections::BTreeMap;

use super::{DatedHead, FeedList, Follower, Progress};
use crate::KeySet;
use crate::feed::bytes::{put_bytes, put_number, take, take_bytes, take_issuer, take_number};
use crate::feed::{CirclePublicKey, FeedEntry, FeedPosition, SUCCESSIONS_MAX};

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
        put_number(count_of(self.circle_keys.len()), &mut out);
        self.circle_keys.iter().for_each(|key| out.extend_from_slice(&key.0));
        put_number(count_of(self.shown.len()), &mut out);
        self.shown.values().for_each(|certificate| put_bytes(certificate, &mut out));
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
        put_number(count_of(self.list.len()), &mut out);
        self.list.entries().for_each(|entry| entry.put(&mut out));
        out
    }

    /// Reads them back; `None` if they are none, or cut off.
    #[must_use]
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let [VERSION] = take(rest)? else { return None };
        let issuer = take_issuer(rest)?;
        let circle_keys = take_circle_keys(rest)?;
        let shown = (0..take_number(rest)?)
            .map(|_| take_bytes(rest).map(<[u8]>::to_vec))
            .collect::<Option<Vec<_>>>()?;
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
        if count_of(list.len()) != count {
            return None;
        }
        let (keys, token_keys) = (BTreeMap::new(), KeySet::new());
        let mut follower = Self {
            issuer,
            circle_keys,
            shown: keys,
            token_keys,
            entries_max,
            list,
            progress,
            head,
            clock_ms,
        };
        for certificate in &shown {
            follower.show(certificate);
        }
        Some(follower)
    }
}

fn count_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// At least one, and no more than a feed can lead to.
fn take_circle_keys(rest: &mut &[u8]) -> Option<Vec<CirclePublicKey>> {
    let count = usize::try_from(take_number(rest)?).ok()?;
    let some = (1..=SUCCESSIONS_MAX.saturating_mul(2)).contains(&count);
    some.then(|| (0..count).map(|_| take(rest).map(CirclePublicKey)).collect()).flatten()
}

fn put_position(position: Option<&FeedPosition>, out: &mut Vec<u8>) {
    out.push(u8::from(position.is_some()));
    if let Some(position) = position {
        position.put(out);
    }
}
