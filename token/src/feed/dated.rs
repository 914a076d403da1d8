//! Where a feed stands, signed with a date: for verifiers that have no node to put a question to.

use super::bytes::{put_bytes, put_number, take, take_issuer, take_number};
use super::{CirclePublicKey, FeedPosition};
use crate::{ServiceId, SigningKey};

/// The first byte of a dated head.
const VERSION: u8 = 1;
/// In front of what is signed, so that neither an answer nor a token can be taken for one.
const DOMAIN: &[u8] = b"circlet feed head 1\0";

/// The most bytes of a dated head.
pub const DATED_HEAD_BYTES_MAX: usize = 512;

/// A dated head: nothing was revoked behind this position before `issued_at_ms`. The node that signs it notes the time, then
/// proves that its view is fresh, and only then looks where the feed stands.
///
/// The signature is not checked before [`DatedHead::is_signed_by`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedHead {
    /// Whose feed it is.
    pub issuer: ServiceId,
    /// Where its chain stood.
    pub position: FeedPosition,
    /// When, in milliseconds since 1970, by the clock of the node that signed.
    pub issued_at_ms: u64,
    /// For how long one may go by it, in milliseconds.
    pub valid_for_ms: u64,
    signature: [u8; 64],
}

impl DatedHead {
    /// Signs a head with the circle key of `issuer`; `None` if that is no Ed25519 key.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        issuer: &ServiceId,
        position: FeedPosition,
        issued_at_ms: u64,
        valid_for_ms: u64,
    ) -> Option<Self> {
        let signature = [0; 64];
        let head = Self { issuer: issuer.clone(), position, issued_at_ms, valid_for_ms, signature };
        let signature = key.sign(&head.signed_bytes()).try_into().ok()?;
        Some(Self { signature, ..head })
    }

    /// Whether this circle key of the issuer signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: CirclePublicKey) -> bool {
        key.verifies(&self.issuer, &self.signed_bytes(), &self.signature)
    }

    /// The first millisecond in which one may not go by it any more.
    #[must_use]
    pub fn expires_at_ms(&self) -> u64 {
        self.issued_at_ms.saturating_add(self.valid_for_ms)
    }

    /// What orders heads: a later one tells more, or the same at a later time.
    pub(super) fn order(&self) -> (u64, u64, u64) {
        (self.position.generation, self.position.sequence, self.issued_at_ms)
    }

    /// The head's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.put(&mut out);
        out.extend_from_slice(&self.signature);
        out
    }

    /// Reads a head; `None` if it is none. Its signature is not checked yet.
    #[must_use]
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let [VERSION] = take(rest)? else { return None };
        let issuer = take_issuer(rest)?;
        let position = FeedPosition::take(rest)?;
        let (issued_at_ms, valid_for_ms) = (take_number(rest)?, take_number(rest)?);
        let signature = take(rest)?;
        rest.is_empty().then_some(Self { issuer, position, issued_at_ms, valid_for_ms, signature })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.issuer.as_str().as_bytes(), out);
        self.position.put(out);
        put_number(self.issued_at_ms, out);
        put_number(self.valid_for_ms, out);
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        self.put(&mut out);
        out
    }
}
