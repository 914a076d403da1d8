//! The id of a key: the fingerprint of its certificate.
use crate::base64url;
use crate::malformed::Malformed;
use crate::text::serde_as_text;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The header's `kid`: base64url without padding of the SHA-256 of the root certificate's DER (contract 1.9), 43
/// characters. It names a certificate, and through it one public key. A copy shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// The id of the key in the certificate whose DER bytes these are.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(base64url::encode(&Sha256::digest(der)).into())
    }

    /// Reads the 43 characters.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        match base64url::decode(text) {
            Some(bytes) if bytes.len() == 32 => Ok(Self(text.into())),
            _ => Err(Malformed::new(
                "key id",
                text,
                "43 characters of base64url: the SHA-256 of a certificate",
            )),
        }
    }

    /// The 43 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

serde_as_text!(KeyId, KeyId::parse);

impl std::borrow::Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_digest_of_the_certificate() {
        let id = KeyId::of_certificate(b"abc");
        assert_eq!(id.as_str(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(KeyId::parse(id.as_str()).unwrap(), id);
    }

    #[test]
    fn another_length_or_alphabet_is_refused() {
        for text in [
            "",
            "abc",
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0",
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=",
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa1",
        ] {
            assert!(KeyId::parse(text).is_err(), "{text:?}");
        }
    }
}
