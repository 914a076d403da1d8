//! Reference tokens: short stand-ins for a token, derived from its id, stored as a hash only.
//!
//! The form is the one that scanners know: 64 characters, base64 of `reftkn:01:<expiry>:<27 alphanumerics>`, where
//! expiry is ten digits of seconds since 1970 and zero for none. What is hashed, and so stored, is the 27 characters;
//! the expiry is a copy of the record's and must match it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

use crate::derivation::derive;
use crate::secret::Secret;

const PREFIX: &str = "reftkn:01:";
const EXPIRY_DIGITS: usize = 10;
const EXPIRY_MAX: u64 = 9_999_999_999;
const RANDOM_CHARS: usize = 27;
const INNER_BYTES: usize = PREFIX.len() + EXPIRY_DIGITS + 1 + RANDOM_CHARS;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Every reference token has this many characters.
pub const TEXT_CHARS: usize = 64;
/// Every reference token begins with this.
pub const TEXT_PREFIX: &str = "cmVmdGtu";

/// Derives reference tokens.
#[derive(Clone)]
pub struct ReferenceTokens {
    key: Secret,
}

/// A reference token as a client presented it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presented {
    /// What the state knows it by.
    pub hash: [u8; 32],
    /// The expiry it claims, in seconds since 1970; `None` for none. It must equal the record's.
    pub expires_at: Option<u64>,
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
        let random = self.random(token);
        let mut inner = format!("{PREFIX}{:010}:", shown_expiry(expires_at)).into_bytes();
        inner.extend_from_slice(&random);
        Secret::from(STANDARD.encode(inner))
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

/// Whether a credential has the form of a reference token, as opposed to a JWT or a password.
#[must_use]
pub fn looks_like_one(text: &str) -> bool {
    text.len() == TEXT_CHARS && text.starts_with(TEXT_PREFIX)
}

/// Reads a text that a client sent; `None` if it has another form.
#[must_use]
pub fn read(text: &str) -> Option<Presented> {
    if !looks_like_one(text) {
        return None;
    }
    let inner: [u8; INNER_BYTES] = STANDARD.decode(text).ok()?.try_into().ok()?;
    let rest = inner.strip_prefix(PREFIX.as_bytes())?;
    let (expiry, rest) = rest.split_at_checked(EXPIRY_DIGITS)?;
    let random = rest.strip_prefix(b":")?;
    if !expiry.iter().all(u8::is_ascii_digit) || !random.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let expiry: u64 = std::str::from_utf8(expiry).ok()?.parse().ok()?;
    Some(Presented { hash: hash(random), expires_at: (expiry > 0).then_some(expiry) })
}

impl Presented {
    /// Whether the claimed expiry is the one that the record has.
    #[must_use]
    pub fn fits(&self, expires_at: Option<u64>) -> bool {
        self.expires_at.unwrap_or(0) == shown_expiry(expires_at)
    }
}

/// Ten digits hold times up to the year 2286; later ones are shown as that.
fn shown_expiry(expires_at: Option<u64>) -> u64 {
    expires_at.unwrap_or(0).min(EXPIRY_MAX)
}

fn hash(random: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"circlet reference token:").chain_update(random).finalize().into()
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
