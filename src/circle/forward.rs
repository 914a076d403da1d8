//! What a member signs to have a token revoked at its issuer, and what the issuer signs as its verdict.
//!
//! No secret is sent, and nothing that was sent once can be used again: an order holds a challenge that the issuer made a
//! moment ago and a nonce that the member drew, and a verdict holds the whole order.

use circlet_token::feed::CirclePublicKey;
use circlet_token::{ServiceId, SigningKey, TokenId};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const ORDER_DOMAIN: &[u8] = b"circlet revoke order 1\0";
const VERDICT_DOMAIN: &[u8] = b"circlet revoke verdict 1\0";
const CHALLENGE_DOMAIN: &[u8] = b"circlet revoke challenge 1\0";
/// For how long a challenge can be answered, by the issuer's own clocks.
const CHALLENGE_SECS: u64 = 30;
/// So far apart the clocks of its nodes may be.
const CLOCKS_SECS: u64 = 10;
const MADE_BYTES: usize = 8;
/// What a challenge is drawn from.
pub const RANDOM_BYTES: usize = 16;
const MAC_BYTES: usize = 32;
/// The longest name of an administrator that is carried along, in bytes.
pub const BY_BYTES_MAX: usize = 512;

/// A member asks the issuer of a token to revoke it.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// Whose token it is.
    pub issuer: &'a ServiceId,
    /// Who asks.
    pub member: &'a ServiceId,
    /// From the issuer.
    pub challenge: Vec<u8>,
    /// From the member.
    pub nonce: [u8; 32],
    /// The token.
    pub id: TokenId,
    /// Whether what was created with it ends as well.
    pub cascade: bool,
    /// The administrator of the member who wants it.
    pub by: &'a str,
}

impl Order<'_> {
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

    /// The issuer's signature under its verdict on this order.
    #[must_use]
    pub fn sign_verdict(&self, key: &SigningKey, verdict: &str) -> Vec<u8> {
        key.sign(&self.verdict_bytes(verdict))
    }

    /// Whether a verdict on this order is the issuer's.
    #[must_use]
    pub fn is_verdict(&self, key: CirclePublicKey, verdict: &str, signature: &[u8]) -> bool {
        key.verifies(self.issuer, &self.verdict_bytes(verdict), signature)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = ORDER_DOMAIN.to_vec();
        for part in [
            self.issuer.ulid().as_bytes(),
            self.member.ulid().as_bytes(),
            &self.challenge,
            &self.nonce,
            &self.id.0,
            &[u8::from(self.cascade)],
            self.by.as_bytes(),
        ] {
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    fn verdict_bytes(&self, verdict: &str) -> Vec<u8> {
        let order: [u8; 32] = Sha256::digest(self.signed_bytes()).into();
        [VERDICT_DOMAIN, &order, verdict.as_bytes()].concat()
    }
}

/// A challenge for a member, with bytes that were drawn for it. Any node of the cluster can tell it from one that it didn't
/// make, and nobody remembers it.
#[must_use]
pub fn challenge(
    secret: &[u8; 32],
    member: &ServiceId,
    now_secs: u64,
    random: [u8; RANDOM_BYTES],
) -> Vec<u8> {
    let mut out = now_secs.to_be_bytes().to_vec();
    out.extend_from_slice(&random);
    let mac = mac(secret, member, &out);
    out.extend_from_slice(&mac);
    out
}

/// Whether this cluster made a challenge for that member, a moment ago.
#[must_use]
pub fn is_challenge(secret: &[u8; 32], member: &ServiceId, now_secs: u64, challenge: &[u8]) -> bool {
    let Some((said, proof)) = challenge.split_at_checked(MADE_BYTES + RANDOM_BYTES) else { return false };
    let Some(made) = said.first_chunk::<MADE_BYTES>() else { return false };
    let made = u64::from_be_bytes(*made);
    let young = made <= now_secs.saturating_add(CLOCKS_SECS)
        && now_secs <= made.saturating_add(CHALLENGE_SECS + CLOCKS_SECS);
    young && bool::from(mac(secret, member, said).as_slice().ct_eq(proof))
}

fn mac(secret: &[u8; 32], member: &ServiceId, said: &[u8]) -> [u8; MAC_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(CHALLENGE_DOMAIN);
    mac.update(said);
    mac.update(member.ulid().as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> ServiceId {
        ServiceId::parse(text).expect("it is one")
    }

    fn key(seed: u8) -> (SigningKey, CirclePublicKey) {
        let key = SigningKey::from_ed25519_seed(&[seed; 32]);
        let public = CirclePublicKey::of(&key).expect("it is an Ed25519 key");
        (key, public)
    }

    #[test]
    fn a_challenge_is_for_one_member_and_for_a_moment() {
        let (them, other, secret) = (service("jfrt@01them"), service("jfrt@01other"), [7; 32]);
        let made = challenge(&secret, &them, 1_000, [1; RANDOM_BYTES]);
        for now in [990, 1_000, 1_040] {
            assert!(is_challenge(&secret, &them, now, &made), "{now}");
        }
        for now in [0, 989, 1_041, u64::MAX] {
            assert!(!is_challenge(&secret, &them, now, &made), "{now}");
        }
        assert!(!is_challenge(&secret, &other, 1_000, &made));
        assert!(!is_challenge(&[8; 32], &them, 1_000, &made));
        let other_draw = challenge(&secret, &them, 1_000, [2; RANDOM_BYTES]);
        assert_ne!(other_draw, made, "each is another one");
        for at in 0..made.len() {
            let mut changed = made.clone();
            changed[at] ^= 1;
            assert!(!is_challenge(&secret, &them, 1_000, &changed), "byte {at}");
            assert!(!is_challenge(&secret, &them, 1_000, &made[..at]), "cut at {at}");
        }
    }

    #[test]
    fn an_order_and_its_verdict_belong_together() {
        let (issuer, member) = (service("jfrt@01issuer"), service("jfrt@01member"));
        let ((ours, ours_public), (theirs, theirs_public)) = (key(1), key(2));
        let order = Order {
            issuer: &issuer,
            member: &member,
            challenge: vec![1; 8],
            nonce: [2; 32],
            id: TokenId([3; 16]),
            cascade: false,
            by: "admin",
        };
        let signature = order.sign(&ours);
        assert!(order.is_signed_by(ours_public, &signature));
        assert!(!order.is_signed_by(theirs_public, &signature));
        let others = [
            Order { issuer: &member, ..order.clone() },
            Order { member: &issuer, ..order.clone() },
            Order { challenge: vec![1; 9], ..order.clone() },
            Order { nonce: [3; 32], ..order.clone() },
            Order { id: TokenId([4; 16]), ..order.clone() },
            Order { cascade: true, ..order.clone() },
            Order { by: "admins", ..order.clone() },
        ];
        let verdict = order.sign_verdict(&theirs, "revoked");
        assert!(order.is_verdict(theirs_public, "revoked", &verdict));
        assert!(!order.is_verdict(theirs_public, "refused", &verdict));
        assert!(!order.is_verdict(ours_public, "revoked", &verdict));
        for other in others {
            assert!(!other.is_signed_by(ours_public, &signature), "{other:?}");
            assert!(!other.is_verdict(theirs_public, "revoked", &verdict), "{other:?}");
        }
    }
}
