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

#[cfg(test)]
mod tests {
    use circlet_token::{Algorithm, Audience, Claims, KeyId, Scope, ServiceId, Subject};

    use super::*;

    fn verified() -> Arc<Verified> {
        let issuer = ServiceId::parse("jfrt@01own").unwrap();
        let claims = Claims {
            revocable: None,
            subject: Subject::parse("jfrt@01own/users/alice").unwrap(),
            scope: Scope::parse("applied-permissions/user").unwrap(),
            audience: Audience::any(),
            issuer,
            expires_at: None,
            issued_at: 0,
            not_before: None,
            id: None,
            index: None,
        };
        Arc::new(Verified { claims, key: KeyId::of_certificate(b"key"), algorithm: Algorithm::EdDsa })
    }

    #[test]
    fn an_entry_counts_only_under_the_keys_that_it_was_verified_with() {
        let (memory, keys, others) = (Signatures::new(), Arc::new(KeySet::new()), Arc::new(KeySet::new()));
        let seen = digest("token");
        assert!(memory.recall(&seen, &keys).is_none());
        memory.remember(seen, &keys, verified());
        assert!(memory.recall(&seen, &keys).is_some());
        assert!(memory.recall(&seen, &others).is_none());
        assert!(memory.recall(&digest("another"), &keys).is_none());
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_what_is_used() {
        let (memory, keys, known) = (Signatures::new(), Arc::new(KeySet::new()), verified());
        let kept = digest("kept");
        memory.remember(kept, &keys, Arc::clone(&known));
        for number in 0..SHARDS * GENERATION_ENTRIES_MAX * 4 {
            memory.remember(digest(&number.to_string()), &keys, Arc::clone(&known));
            if number % 1000 == 0 {
                assert!(memory.recall(&kept, &keys).is_some(), "after {number}");
            }
        }
        let held: usize = memory
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap())
            .map(|shard| shard.young.len() + shard.old.len())
            .sum();
        assert!(held <= SHARDS * GENERATION_ENTRIES_MAX * 2, "{held}");
    }
}
