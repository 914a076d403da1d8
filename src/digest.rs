//! What tells requests apart.

use sha2::{Digest, Sha256};

/// SHA-256 over texts, absent ones told apart from empty ones, and none running into the next.
pub(crate) fn of(parts: &[Option<&str>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        match part {
            None => hash.update([0]),
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
        }
    }
    hash.finalize().into()
}
