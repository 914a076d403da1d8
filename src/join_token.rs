//! The text form of a join token: what a new node needs to find the cluster and to be let in.
//!
//! `circlet-join-1.<CA>.<id>.<secret>.<addresses>`, the parts in base64url: the SHA-256 of the cluster's CA
//! certificate, the token's id, its secret, and the peer addresses of nodes joined by commas. The secret is derived
//! from the id under a secret of the cluster, so the state stores only its hash, and any node can check a proof.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::derivation::derive;
use crate::secret::Secret;

const PREFIX: &str = "circlet-join-1";
const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
/// A longer text is not looked at.
const TEXT_BYTES_MAX: usize = 4096;

/// A join token as the operator carries it to the new node.
pub struct JoinToken {
    /// SHA-256 of the DER of the cluster's CA certificate.
    pub ca_fingerprint: [u8; 32],
    /// Which token it is.
    pub id: [u8; ID_BYTES],
    /// What both sides prove to each other without sending it.
    pub secret: Secret,
    /// Peer addresses of nodes, as `host:port`; any of them will do.
    pub addresses: Vec<String>,
}

/// The text is not a join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedJoinToken {
    /// It doesn't begin like one.
    #[error("a join token begins with `{PREFIX}.`")]
    Prefix,
    /// A part is missing, too much, or garbled.
    #[error("the part {0} of the join token is missing or garbled; was it copied in full?")]
    Part(&'static str),
}

impl JoinToken {
    /// Reads the text form; white space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, MalformedJoinToken> {
        let text = text.trim();
        let rest = text
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix('.'))
            .ok_or(MalformedJoinToken::Prefix)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(MalformedJoinToken::Part("addresses"));
        }
        let mut parts = rest.split('.');
        let mut part = |name| {
            let decoded = parts.next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
            decoded.ok_or(MalformedJoinToken::Part(name))
        };
        let ca_fingerprint = part("CA")?.try_into().map_err(|_| MalformedJoinToken::Part("CA"))?;
        let id = part("id")?.try_into().map_err(|_| MalformedJoinToken::Part("id"))?;
        let secret = part("secret")?;
        let addresses =
            String::from_utf8(part("addresses")?).map_err(|_| MalformedJoinToken::Part("addresses"))?;
        let addresses: Vec<String> = addresses.split(',').map(str::to_owned).collect();
        if secret.len() != SECRET_BYTES {
            return Err(MalformedJoinToken::Part("secret"));
        }
        if parts.next().is_some() || addresses.iter().any(|address| !address.contains(':')) {
            return Err(MalformedJoinToken::Part("addresses"));
        }
        Ok(Self { ca_fingerprint, id, secret: Secret::new(secret), addresses })
    }

    /// The text form.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        Secret::from(format!(
            "{PREFIX}.{}.{}.{}.{}",
            encode(&self.ca_fingerprint),
            encode(&self.id),
            encode(self.secret.expose()),
            encode(self.addresses.join(",").as_bytes()),
        ))
    }
}

/// The secret of the join token `id`, which any node of the cluster can derive.
#[must_use]
pub fn secret_of(refresh_secret: &Secret, id: &[u8; ID_BYTES]) -> Secret {
    let key = derive(refresh_secret, "circlet join token");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(id);
    Secret::new(mac.finalize().into_bytes().to_vec())
}

/// What the state stores of a join token.
#[must_use]
pub fn hash_of(secret: &Secret) -> [u8; 32] {
    Sha256::new().chain_update(b"circlet join token:").chain_update(secret.expose()).finalize().into()
}

/// Which side of the connection proves that it knows the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The new node.
    Joiner,
    /// The node that lets it in.
    Cluster,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joiner => "joiner",
            Self::Cluster => "cluster",
        })
    }
}

/// The proof of `side` over its message, bound to this TLS session by the exporter.
#[must_use]
pub fn prove(secret: &Secret, side: Side, exporter: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(format!("circlet join proof: {side}\n").as_bytes());
    mac.update(exporter);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Whether `proof` is that of `side`; compared in constant time.
#[must_use]
pub fn is_proved(secret: &Secret, side: Side, exporter: &[u8; 32], message: &[u8], proof: &[u8]) -> bool {
    prove(secret, side, exporter, message).ct_eq(proof).into()
}

#[cfg(test)]
mod tests {
    use super::{JoinToken, MalformedJoinToken, Side, hash_of, is_proved, prove, secret_of};
    use crate::secret::Secret;

    fn token() -> JoinToken {
        JoinToken {
            ca_fingerprint: [1; 32],
            id: [2; 16],
            secret: Secret::new(vec![3; 32]),
            addresses: vec!["10.0.0.1:8041".to_owned(), "[::1]:8041".to_owned()],
        }
    }

    #[test]
    fn the_text_reads_back() {
        let text = token().to_text();
        let text = text.expose_text().unwrap();
        let read = JoinToken::parse(&format!(" {text}\n")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((read.ca_fingerprint, read.id, read.addresses), ([1; 32], [2; 16], token().addresses));
        assert!(read.secret == token().secret);
    }

    #[test]
    fn a_text_that_lost_something_says_what() {
        let text = token().to_text();
        let text = text.expose_text().unwrap();
        let error = |text: &str| JoinToken::parse(text).err();
        assert_eq!(error("hello"), Some(MalformedJoinToken::Prefix));
        assert_eq!(error(&text[..40]), Some(MalformedJoinToken::Part("CA")));
        let (without_addresses, _) = text.rsplit_once('.').unwrap();
        assert_eq!(error(without_addresses), Some(MalformedJoinToken::Part("addresses")));
        assert_eq!(error(&format!("{text}.x")), Some(MalformedJoinToken::Part("addresses")));
    }

    #[test]
    fn a_proof_holds_for_its_side_session_and_message_only() {
        let secret = secret_of(&Secret::new(b"cluster".to_vec()), &[2; 16]);
        let proof = prove(&secret, Side::Joiner, &[5; 32], b"message");
        assert!(is_proved(&secret, Side::Joiner, &[5; 32], b"message", &proof));
        assert!(!is_proved(&secret, Side::Cluster, &[5; 32], b"message", &proof));
        assert!(!is_proved(&secret, Side::Joiner, &[6; 32], b"message", &proof));
        assert!(!is_proved(&secret, Side::Joiner, &[5; 32], b"massage", &proof));
        assert!(!is_proved(&Secret::random(32), Side::Joiner, &[5; 32], b"message", &proof));
        assert_ne!(hash_of(&secret), hash_of(&Secret::random(32)));
    }
}
