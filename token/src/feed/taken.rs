//! How far a member has taken over a feed, said under its own circle key.
//!
//! It goes with the question, so that the issuer knows when a member has its next token key. It says of the past only, so
//! it never becomes untrue, and repeating it proves nothing new: it needs no nonce.

use super::bytes::put_number;
use super::{CirclePublicKey, FeedPosition};
use crate::{ServiceId, SigningKey};

const DOMAIN: &[u8] = b"circlet feed taken 1\0";

/// A member has taken over a feed up to a position.
#[derive(Clone, Debug)]
pub struct Taken<'a> {
    /// Whose feed.
    pub issuer: &'a ServiceId,
    /// Who followed it.
    pub member: &'a ServiceId,
    /// Up to where.
    pub at: FeedPosition,
}

impl Taken<'_> {
    /// The member's signature.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        key.sign(&self.signed_bytes())
    }

    /// Whether the member's circle key signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: CirclePublicKey, signature: &[u8]) -> bool {
        key.verifies(self.member, &self.signed_bytes(), signature)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        for service in [self.issuer, self.member] {
            out.extend_from_slice(service.ulid().as_bytes());
            out.push(0);
        }
        put_number(self.at.generation, &mut out);
        put_number(self.at.sequence, &mut out);
        out.extend_from_slice(&self.at.hash);
        out
    }
}
