//! Reference tokens: short stand-ins for a token, derived from its id, stored as a hash only.

use hkdf::Hkdf;
use sha2::Sha256;

use crate::derivation::derive;
use crate::secret::Secret;

pub mod form;

pub use form::{Presented, TEXT_CHARS, TEXT_PREFIX, looks_like_one, read};
use form::{RANDOM_CHARS, hash};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Derives reference tokens.
#[derive(Clone)]
pub struct ReferenceTokens {
    key: Secret,
}

impl ReferenceTokens {
    /// With the key derived from the cluster's refresh secret.
    #[must_use]
    pub fn new(refresh_secret: &Secret) -> Self {
        Self { key: Secret::new(derive(refresh_secret, "circlet reference token").to_vec()) }
    }

    /// What the state stores for the reference token of this token id.
    #[must_use]
    pub fn hash(&self, token: &[u8; 16]) -> [u8; 32] {
        hash(&self.random(token))
    }

    /// The text that the client gets, with the expiry of the record.
    #[must_use]
    pub fn write(&self, token: &[u8; 16], expires_at: Option<u64>) -> Secret {
        Secret::from(form::write(&self.random(token), expires_at))
    }

    /// 27 characters, each drawn without bias from the stream that HKDF makes of key and id.
    fn random(&self, token: &[u8; 16]) -> [u8; RANDOM_CHARS] {
        let hkdf = Hkdf::<Sha256>::new(None, self.key.expose());
        let mut stream = [0_u8; 32 * 8];
        hkdf.expand(token, &mut stream).expect("HKDF gives up to 8160 bytes");
        // 248 is the greatest multiple of 62 in a byte. That fewer than 27 of 256 bytes lie below it has a
        // probability of less than 2^-1000.
        let mut drawn =
            stream.iter().filter(|byte| **byte < 248).map(|byte| usize::from(*byte) % ALPHABET.len());
        std::array::from_fn(|_| ALPHABET[drawn.next().expect("256 bytes give 27 characters")])
    }
}

#[cfg(test)]
mod tests {
    use super::{Presented, ReferenceTokens, read};
    use crate::secret::Secret;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn tokens() -> ReferenceTokens {
        ReferenceTokens::new(&Secret::new(b"secret".to_vec()))
    }

    fn text(token: &[u8; 16], expires_at: Option<u64>) -> String {
        tokens().write(token, expires_at).expose_text().unwrap().to_owned()
    }

    #[test]
    fn the_form_is_the_one_that_scanners_know() {
        for expires_at in [None, Some(1_700_000_000), Some(u64::MAX)] {
            let text = text(&[9; 16], expires_at);
            assert_eq!(text.len(), 64);
            assert!(text.starts_with("cmVmdGtu"), "{text}");
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
        }
        let inner = STANDARD.decode(text(&[9; 16], Some(1_700_000_000))).unwrap();
        assert!(inner.starts_with(b"reftkn:01:1700000000:"), "{inner:?}");
    }

    #[test]
    fn reading_gives_the_hash_that_was_stored() {
        let expected = Presented { hash: tokens().hash(&[9; 16]), expires_at: Some(1_700_000_000) };
        let presented = read(&text(&[9; 16], Some(1_700_000_000))).unwrap();
        assert_eq!(presented, expected);
        assert!(presented.fits(Some(1_700_000_000)));
        assert!(!presented.fits(Some(1_700_000_001)));
        assert!(!presented.fits(None));
        assert!(read(&text(&[9; 16], None)).unwrap().fits(None));
        assert_ne!(tokens().hash(&[8; 16]), tokens().hash(&[9; 16]));
    }

    #[test]
    fn other_texts_are_not_reference_tokens() {
        for inner in [
            "reftkn:02:0000000000:aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "reftkn:01:000000000x:aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "reftkn:01:0000000000;aaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "reftkn:01:0000000000:aaaaaaaaaaaaaaaaaaaaaaaaaa!",
        ] {
            assert_eq!(read(&STANDARD.encode(inner)), None, "{inner}");
        }
        assert_eq!(read(""), None);
        assert_eq!(read(&"cmVmdGtu".repeat(8)), None);
    }
}
