//! The form of reference tokens, and what the state knows them by. No secret, so that the simulator's clients have some too.
//!
//! It is the one that scanners know: 64 characters, base64 of `reftkn:01:<expiry>:<27 alphanumerics>`, where
//! expiry is ten digits of seconds since 1970 and zero for none. What is hashed, and so stored, is the 27 characters;
//! the expiry is a copy of the record's and must match it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PREFIX: &str = "reftkn:01:";
const EXPIRY_DIGITS: usize = 10;
const EXPIRY_MAX: u64 = 9_999_999_999;
/// So many characters are drawn.
pub const RANDOM_CHARS: usize = 27;
const INNER_BYTES: usize = PREFIX.len() + EXPIRY_DIGITS + 1 + RANDOM_CHARS;
/// Every reference token has this many characters.
pub const TEXT_CHARS: usize = 64;
/// Every reference token begins with this.
pub const TEXT_PREFIX: &str = "cmVmdGtu";

/// A reference token as a client presented it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presented {
    /// What the state knows it by.
    pub hash: [u8; 32],
    /// The expiry it claims, in seconds since 1970; `None` for none. It must equal the record's.
    pub expires_at: Option<u64>,
}

/// The text with these characters, and the expiry of the record.
#[must_use]
pub fn write(random: &[u8; RANDOM_CHARS], expires_at: Option<u64>) -> String {
    let mut inner = format!("{PREFIX}{:010}:", shown_expiry(expires_at)).into_bytes();
    inner.extend_from_slice(random);
    STANDARD.encode(inner)
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

/// What the state stores for these characters.
#[must_use]
pub fn hash(random: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(b"circlet reference token:").chain_update(random).finalize().into()
}
