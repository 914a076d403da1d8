//! What a long feed takes, on the wire and in a follower. Alone in its process, since it looks at the process's memory.
//!
//! `CIRCLET_ENTRIES` says how many; the figures of that many are printed, and nothing is extrapolated.
#![allow(clippy::unwrap_used, reason = "what fails in a test fails the test")]

use circlet_token::feed::{
    DatedHead, FEED_CONTENT_BYTES_MAX, FeedAnswer, FeedContent, FeedEntry, FeedPosition, FeedWant, Follower,
};
use circlet_token::{ServiceId, SigningKey, TokenId};
use sha2::{Digest, Sha256};

/// As an issuer fills its pages: room for one more entry of any kind is left.
const PAGE_BYTES: usize = FEED_CONTENT_BYTES_MAX - 2_048;
const NOW: u64 = 1_800_000_000;

/// Ids are random; of 64 tokens that were revoked, each ends in another second.
fn entry(number: u64) -> FeedEntry {
    let digest: [u8; 32] = Sha256::digest(number.to_be_bytes()).into();
    let id = TokenId(*digest.first_chunk().unwrap());
    FeedEntry::Listed { expiry: NOW + 3_600 + number / 64, id }
}

#[expect(
    clippy::disallowed_methods,
    reason = "whoever measures says how many; the crate itself reads no environment"
)]
fn how_many() -> u64 {
    std::env::var("CIRCLET_ENTRIES").map_or(200_000, |text| text.parse().unwrap())
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

fn per(bytes: u64, entries: u64) -> f64 {
    f64::from(u32::try_from(bytes * 100 / entries).unwrap()) / 100.0
}

#[test]
fn many_entries_take_few_bytes() {
    let entries = how_many();
    let (issuer, key) = (ServiceId::parse("jfrt@01many").unwrap(), SigningKey::from_ed25519_seed(&[1; 32]));
    let at = FeedPosition { generation: 1, sequence: entries, hash: [7; 32] };
    let mut follower = Follower::new(&issuer, &key.spki_der(), entries).unwrap();
    let (before, mut wire, mut next) = (resident_bytes(), 0, 0);
    while let FeedWant::Page(cursor) = follower.want() {
        let (mut page, mut last) = (Vec::with_capacity(FEED_CONTENT_BYTES_MAX), Vec::new());
        while next < entries && page.len() < PAGE_BYTES {
            last = entry(next).to_bytes();
            page.extend_from_slice(&last);
            next += 1;
        }
        let next = if next == entries { Vec::new() } else { last };
        let content = FeedContent::Page { cursor, entries: page, next };
        let answer =
            FeedAnswer::sign(&key, &issuer, at, entries, [0; 32], Vec::new(), content).unwrap().to_bytes();
        wire += answer.len() as u64;
        follower.take(&answer).unwrap();
    }
    let memory = resident_bytes().saturating_sub(before);
    let head = DatedHead::sign(&key, &issuer, at, NOW * 1_000, 60_000).unwrap().to_bytes();
    follower.take_head(&head, NOW * 1_000).unwrap();
    assert_eq!(follower.len() as u64, entries);
    let kept = follower.to_bytes().len() as u64;
    println!(
        "{entries} entries: {} bytes each on the wire, {} kept, {} in memory",
        per(wire, entries),
        per(kept, entries),
        per(memory, entries)
    );
    assert!(wire < entries * 23, "{wire} bytes on the wire");
    assert!(kept < entries * 23, "{kept} bytes kept");
    assert!(memory < entries * 64, "{memory} bytes of memory");
}
