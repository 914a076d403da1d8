//! Bytes that must not be seen: no `Debug`, no `Display`, wiped when dropped.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A secret value. It can't be printed by accident, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller's copy is gone with this one.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// `length` bytes from a cryptographic generator that the operating system seeds.
    #[must_use]
    pub fn random(length: usize) -> Self {
        let mut bytes = Zeroizing::new(vec![0; length]);
        rand::fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The bytes, for the one place that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The secret as text, if it is UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

/// Compared in constant time for equal lengths.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn random_secrets_have_the_asked_length_and_differ() {
        let (one, other) = (Secret::random(32), Secret::random(32));
        assert_eq!(one.expose().len(), 32);
        assert!(one != other);
        assert!(one == one.clone());
    }
}
