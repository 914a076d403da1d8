//! Remembers successes for a short while, without remembering what they were.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// How long a success spares the next check.
const REMEMBER: Duration = Duration::from_mins(1);
/// How many successes are remembered.
const ENTRIES_MAX: usize = 10_000;

/// A keyed hash of user, stored hash and password; the key dies with the process.
pub(super) type Key = [u8; 32];

pub(super) struct Memory {
    secret: Secret,
    until: BTreeMap<Key, Instant>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { secret: Secret::random(32), until: BTreeMap::new() }
    }

    pub(super) fn key(&self, user: &str, stored: &str, password: &Secret) -> Key {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.expose()).expect("HMAC takes keys of any length");
        for part in [user.as_bytes(), stored.as_bytes(), password.expose()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    pub(super) fn holds(&self, key: &Key, now: Instant) -> bool {
        self.until.get(key).is_some_and(|until| now < *until)
    }

    pub(super) fn remember(&mut self, key: Key, now: Instant) {
        if self.until.len() >= ENTRIES_MAX {
            self.until.retain(|_, until| now < *until);
        }
        if self.until.len() < ENTRIES_MAX {
            self.until.insert(key, now + REMEMBER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, REMEMBER, Secret};
    use std::time::Instant;

    #[test]
    fn a_success_is_held_for_its_time_and_no_longer() {
        let mut memory = Memory::new();
        let now = Instant::now();
        let key = memory.key("alice", "hash", &Secret::new(b"pw".to_vec()));
        memory.remember(key, now);
        assert!(memory.holds(&key, now));
        assert!(!memory.holds(&key, now + REMEMBER));
        assert!(!memory.holds(&memory.key("alice", "hashp", &Secret::new(b"w".to_vec())), now));
    }
}
