//! Remembers which tokens had a good signature, so that a token seen again costs a hash and a lookup.
//!
//! Only the result of the signature is kept, never a verdict: expiry, audience and revocation are judged each time.
//! An entry counts only under the very key set that it was verified with, so a changed circle or keyring empties
//! the memory at once without anyone telling it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use circlet_token::{KeySet, Verified};
use sha2::{Digest as _, Sha256};

/// Shards, each with a lock of its own, so that cores rarely meet.
const SHARDS: usize = 32;
/// Entries in one generation of one shard; two generations are kept.
const GENERATION_ENTRIES_MAX: usize = 512;

/// SHA-256 of a token's text.
pub(crate) type TokenDigest = [u8; 32];

/// The digest under which a token's text is remembered.
pub(crate) fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// The memory: bounded, and the longest unused half goes first.
pub(crate) struct Signatures {
    shards: Vec<Mutex<Shard>>,
}

#[derive(Default)]
struct Shard {
    young: HashMap<TokenDigest, Entry, BuildHasherDefault<Prefix>>,
    old: HashMap<TokenDigest, Entry, BuildHasherDefault<Prefix>>,
}

#[derive(Clone)]
struct Entry {
    /// Held, so that no later key set can come to lie at the same address.
    keys: Arc<KeySet>,
    verified: Arc<Verified>,
}

impl Signatures {
    /// An empty memory.
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// What the token says, if its signature was found good under exactly these keys.
    pub(crate) fn recall(&self, digest: &TokenDigest, keys: &Arc<KeySet>) -> Option<Arc<Verified>> {
        let mut shard = self.shard(digest);
        let entry = if let Some(entry) = shard.young.get(digest) {
            entry.clone()
        } else {
            let entry = shard.old.remove(digest)?;
            shard.insert(*digest, entry.clone());
            entry
        };
        drop(shard);
        Arc::ptr_eq(&entry.keys, keys).then_some(entry.verified)
    }

    /// Notes that the token's signature is good under these keys.
    pub(crate) fn remember(&self, digest: TokenDigest, keys: &Arc<KeySet>, verified: Arc<Verified>) {
        self.shard(&digest).insert(digest, Entry { keys: Arc::clone(keys), verified });
    }

    fn shard(&self, digest: &TokenDigest) -> std::sync::MutexGuard<'_, Shard> {
        // Another byte than the map's own hash begins with.
        let shard = &self.shards[usize::from(digest[31]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn insert(&mut self, digest: TokenDigest, entry: Entry) {
        if self.young.len() >= GENERATION_ENTRIES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(digest, entry);
    }
}

/// A digest is a hash already: its first bytes will do.
#[derive(Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length prefix of an array says nothing.
    fn write_usize(&mut self, _length: usize) {}
}
