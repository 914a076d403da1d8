//! Refresh tokens: family, sequence and MAC as one opaque text.
//!
//! The state holds one number per family, and no token: whoever knows the cluster's refresh secret can make and check
//! any of them. A token that was used already is still recognised as one of ours, so its reuse is seen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::derivation::derive;
use crate::secret::Secret;

const FAMILY_BYTES: usize = 16;
const MAC_BYTES: usize = 16;
const TOKEN_BYTES: usize = FAMILY_BYTES + 4 + MAC_BYTES;
/// Every refresh token has this many characters.
pub const TEXT_CHARS: usize = TOKEN_BYTES * 4 / 3;

/// What a refresh token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshFields {
    /// The family that it continues.
    pub family: [u8; FAMILY_BYTES],
    /// Which use of the family it is, from 0.
    pub sequence: u32,
}

/// Makes and checks refresh tokens.
#[derive(Clone)]
pub struct RefreshTokens {
    key: Secret,
}

impl RefreshTokens {
    /// With the key derived from the cluster's refresh secret.
    #[must_use]
    pub fn new(refresh_secret: &Secret) -> Self {
        Self { key: Secret::new(derive(refresh_secret, "circlet refresh token").to_vec()) }
    }

    /// The text that the client gets.
    #[must_use]
    pub fn write(&self, fields: RefreshFields) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_BYTES);
        bytes.extend_from_slice(&fields.family);
        bytes.extend_from_slice(&fields.sequence.to_be_bytes());
        let mac = self.mac(&bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a text that a client sent; `None` if it is not one of ours. The MAC is compared in constant time.
    #[must_use]
    pub fn read(&self, text: &str) -> Option<RefreshFields> {
        if text.len() != TEXT_CHARS {
            return None;
        }
        let bytes: [u8; TOKEN_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (said, mac) = bytes.split_at(FAMILY_BYTES + 4);
        if !bool::from(self.mac(said).ct_eq(mac)) {
            return None;
        }
        let (family, sequence) = said.split_at(FAMILY_BYTES);
        let sequence = u32::from_be_bytes(sequence.try_into().ok()?);
        Some(RefreshFields { family: family.try_into().ok()?, sequence })
    }

    fn mac(&self, said: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose()).expect("HMAC takes keys of any length");
        mac.update(said);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut short = [0; MAC_BYTES];
        short.copy_from_slice(&full[..MAC_BYTES]);
        short
    }
}

#[cfg(test)]
mod tests {
    use super::{RefreshFields, RefreshTokens, TEXT_CHARS};
    use crate::secret::Secret;

    const FIELDS: RefreshFields = RefreshFields { family: [7; 16], sequence: 3 };

    fn tokens(secret: &str) -> RefreshTokens {
        RefreshTokens::new(&Secret::from(secret.to_owned()))
    }

    #[test]
    fn a_token_reads_back_and_is_always_the_same() {
        let text = tokens("s").write(FIELDS);
        assert_eq!(text.len(), TEXT_CHARS);
        assert_eq!(text, tokens("s").write(FIELDS));
        assert_eq!(tokens("s").read(&text), Some(FIELDS));
    }

    #[test]
    fn nobody_else_makes_one() {
        let text = tokens("s").write(FIELDS);
        assert_eq!(tokens("t").read(&text), None);
        assert_eq!(tokens("s").read(&text[1..]), None);
        assert_eq!(tokens("s").read(""), None);
        assert_eq!(tokens("s").read(&"é".repeat(TEXT_CHARS / 2)), None);
        for at in 0..text.len() {
            let mut changed: Vec<u8> = text.bytes().collect();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(tokens("s").read(std::str::from_utf8(&changed).unwrap()), None, "character {at}");
        }
    }
}
