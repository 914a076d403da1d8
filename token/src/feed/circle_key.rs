//! Circle keys: what a cluster signs its feed with, and how the next one is named.
//!
//! A circle key is replaced inside the chain only: the one before signs which key comes next. Whoever knows any one of
//! them can so be led to the present one, and to no other: two successors of one key prove that it signed both.

use super::bytes::take;
use crate::{Algorithm, KeyId, PublicKey, ServiceId, SigningKey};

/// In front of what a circle key signs about its successor.
const SUCCESSION_DOMAIN: &[u8] = b"circlet circle key 1\0";
/// The DER of a `SubjectPublicKeyInfo` for Ed25519 before its 32 bytes (RFC 8410 section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// An Ed25519 signature.
const SIGNATURE_BYTES: usize = 64;

/// The successions in one answer, and so in one generation of a cluster, at most.
pub const SUCCESSIONS_MAX: usize = 64;

/// The public half of a circle key, an Ed25519 key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CirclePublicKey(pub [u8; 32]);

impl CirclePublicKey {
    /// The key in a DER `SubjectPublicKeyInfo`; `None` if it is none for Ed25519.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Option<Self> {
        der.strip_prefix(&SPKI_PREFIX)?.try_into().ok().map(Self)
    }

    /// The public half of a private key; `None` if that is no Ed25519 key.
    #[must_use]
    pub fn of(key: &SigningKey) -> Option<Self> {
        Self::of_spki(&key.spki_der())
    }

    /// The key as DER `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), self.0.as_slice()].concat()
    }

    /// Whether it is the key of a signature. Bytes that are no key verify nothing.
    #[must_use]
    pub fn verifies(&self, issuer: &ServiceId, message: &[u8], signature: &[u8]) -> bool {
        let spki = self.spki_der();
        PublicKey::from_parts(KeyId::of_certificate(&spki), Algorithm::EdDsa, issuer.clone(), &spki)
            .is_ok_and(|key| key.verifies(message, signature))
    }
}

impl std::fmt::Debug for CirclePublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second, third, fourth, ..] = self.0;
        write!(f, "CirclePublicKey({first:02x}{second:02x}{third:02x}{fourth:02x})")
    }
}

/// One circle key names the next. The signature is not checked before [`Succession::is_signed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Succession {
    /// The key that names it.
    pub previous: CirclePublicKey,
    /// The key that counts from now on.
    pub next: CirclePublicKey,
    /// Over both, with the previous key.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl Succession {
    /// Names the next circle key of `issuer` with the present one; `None` if that is no Ed25519 key.
    #[must_use]
    pub fn sign(key: &SigningKey, issuer: &ServiceId, next: CirclePublicKey) -> Option<Self> {
        let previous = CirclePublicKey::of(key)?;
        let signature = key.sign(&signed_bytes(issuer, previous, next)).try_into().ok()?;
        Some(Self { previous, next, signature })
    }

    /// Whether the previous key signed it, for this issuer.
    #[must_use]
    pub fn is_signed(&self, issuer: &ServiceId) -> bool {
        let message = signed_bytes(issuer, self.previous, self.next);
        self.previous.verifies(issuer, &message, &self.signature)
    }

    /// Appends its bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&self.next.0);
        out.extend_from_slice(&self.signature);
    }

    /// Takes one off the front; `None` if it is cut off.
    #[must_use]
    pub fn take(rest: &mut &[u8]) -> Option<Self> {
        Some(Self {
            previous: CirclePublicKey(take(rest)?),
            next: CirclePublicKey(take(rest)?),
            signature: take(rest)?,
        })
    }
}

fn signed_bytes(issuer: &ServiceId, previous: CirclePublicKey, next: CirclePublicKey) -> Vec<u8> {
    let mut out = SUCCESSION_DOMAIN.to_vec();
    out.extend_from_slice(issuer.ulid().as_bytes());
    out.push(0);
    out.extend_from_slice(&previous.0);
    out.extend_from_slice(&next.0);
    out
}

/// What leads from the keys that are known, oldest first, to the newest that is told. Keys from before the known ones are
/// of no interest: whoever pairs gets to know the present one.
///
/// # Errors
/// The succession that contradicts one that is known: the same key signed both.
pub fn new_successions(
    known: &[CirclePublicKey],
    issuer: &ServiceId,
    told: &[Succession],
) -> Result<Vec<Succession>, Box<Succession>> {
    let (mut known, mut new) = (known.to_vec(), Vec::new());
    for succession in told.iter().take(SUCCESSIONS_MAX) {
        let Some(at) = known.iter().position(|key| *key == succession.previous) else { continue };
        let following = known.get(at.saturating_add(1));
        if following == Some(&succession.next) || !succession.is_signed(issuer) {
            continue;
        }
        // A key that comes back would make a ring of them.
        if following.is_some() || known.contains(&succession.next) {
            return Err(Box::new(*succession));
        }
        known.push(succession.next);
        new.push(*succession);
    }
    Ok(new)
}
