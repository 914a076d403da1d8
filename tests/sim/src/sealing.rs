//! Master keys, and sealing under them. It keeps no secret from anybody who reads this; but a wrong key opens nothing, and
//! the same sealed under the same key is the same in every run.

use std::collections::BTreeMap;
use std::sync::Mutex;

use circlet_authority::{Sealed, SealedKind};
use circlet_token::KeyId;
use sha2::{Digest, Sha256};

use crate::scope::lock;
use crate::turnover::custodian::Master;

const NONCE_BYTES: usize = 24;

/// A master key, by what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// The key of this name: the same in every run.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(digest(&[b"master key", name.as_bytes()]))
    }

    /// The key that a file or a message holds, if it does.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    /// What a file holds of it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Seals a secret.
    #[must_use]
    pub fn seal(&self, which: &SealedKind, secret: &[u8]) -> Sealed {
        let nonce = self.nonce(which, secret);
        Sealed { under: self.fingerprint(), nonce, ciphertext: self.mixed(&nonce, secret) }
    }

    /// Opens what was sealed under this key for that.
    #[must_use]
    pub fn open(&self, which: &SealedKind, sealed: &Sealed) -> Option<Vec<u8>> {
        let secret = self.mixed(&sealed.nonce, &sealed.ciphertext);
        (self.nonce(which, &secret) == sealed.nonce).then_some(secret)
    }

    /// Made from what is sealed, so that it tells whether that was changed.
    fn nonce(&self, which: &SealedKind, secret: &[u8]) -> [u8; NONCE_BYTES] {
        let what = format!("{which:?}");
        let whole = digest(&[b"nonce", &self.0, what.as_bytes(), secret]);
        *whole.first_chunk().expect("a digest has 32 bytes")
    }

    fn mixed(&self, nonce: &[u8; NONCE_BYTES], text: &[u8]) -> Vec<u8> {
        let blocks = text.chunks(32).zip(0_u64..);
        let mixed = blocks.flat_map(|(block, number)| {
            let stream = digest(&[b"stream", &self.0, nonce, &number.to_be_bytes()]);
            block.iter().zip(stream).map(|(byte, other)| byte ^ other).collect::<Vec<u8>>()
        });
        mixed.collect()
    }
}

impl Master for MasterKey {
    fn of_material(material: Vec<u8>) -> Self {
        // Of another length it is some other key, as in the product.
        Self::read(&material).unwrap_or_else(|| Self(digest(&[b"material", &material])))
    }

    fn to_material(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn fingerprint(&self) -> [u8; 32] {
        digest(&[b"fingerprint", &self.0])
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let framed = parts.iter().fold(Sha256::new(), |sum, part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        sum.chain_update(length.to_be_bytes()).chain_update(part)
    });
    framed.finalize().into()
}

/// The keys that a node has in memory, for one life of it.
#[derive(Debug, Default)]
pub struct Ring {
    held: Mutex<Vec<MasterKey>>,
    /// What the node has signed with, sealed as it was then.
    used: Mutex<BTreeMap<KeyId, Sealed>>,
    /// Held while a key file is another than the log says.
    pub filing: tokio::sync::Mutex<()>,
}

impl Ring {
    /// Holds one more.
    pub fn hold(&self, key: &MasterKey) {
        let mut held = lock(&self.held);
        if !held.contains(key) {
            held.push(key.clone());
        }
    }

    /// The node signs with this.
    pub fn use_key(&self, kid: &KeyId, sealed: &Sealed) {
        lock(&self.used).insert(kid.clone(), sealed.clone());
    }

    /// What the node has signed with, for a planted bug that goes on signing with it.
    #[must_use]
    pub fn used(&self, kid: &KeyId) -> Option<Sealed> {
        lock(&self.used).get(kid).cloned()
    }

    /// The one with this fingerprint.
    #[must_use]
    pub fn of(&self, fingerprint: &[u8; 32]) -> Option<MasterKey> {
        lock(&self.held).iter().find(|key| key.fingerprint() == *fingerprint).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_under_its_key_and_for_what_it_was_sealed_for() {
        let (key, other) = (MasterKey::named("one"), MasterKey::named("another"));
        let secret = [7; 40];
        let mut sealed = key.seal(&SealedKind::ClusterCa, &secret);
        assert_eq!(key.open(&SealedKind::ClusterCa, &sealed).as_deref(), Some(secret.as_slice()));
        assert_eq!(other.open(&SealedKind::ClusterCa, &sealed), None);
        assert_eq!(key.open(&SealedKind::RefreshSecret, &sealed), None);
        sealed.ciphertext[39] ^= 1;
        assert_eq!(key.open(&SealedKind::ClusterCa, &sealed), None);
    }
}
