//! How long a token lives.
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::num::NonZeroU64;

/// A lifetime in whole seconds, or for ever. For ever is longer than any number of seconds. Persisted as a number of
/// seconds with 0 for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lifetime(Option<NonZeroU64>);

impl Lifetime {
    /// Never expires.
    pub const FOREVER: Self = Self(None);

    /// As requests write it: 0 means for ever (contract 1.4).
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(NonZeroU64::new(secs))
    }

    /// The number of seconds; `None` for ever.
    #[must_use]
    pub fn secs(self) -> Option<u64> {
        self.0.map(NonZeroU64::get)
    }

    /// Whether it never ends.
    #[must_use]
    pub fn is_forever(self) -> bool {
        self.0.is_none()
    }

    /// When a token issued at `issued_at` (seconds since 1970) expires, or `None` for never. Saturates at the end of
    /// time instead of wrapping.
    #[must_use]
    pub fn expires_at(self, issued_at: u64) -> Option<u64> {
        self.secs().map(|secs| issued_at.saturating_add(secs))
    }
}

impl Ord for Lifetime {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(mine), Some(theirs)) => mine.cmp(&theirs),
        }
    }
}

impl PartialOrd for Lifetime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secs() {
            Some(secs) => write!(f, "{secs} s"),
            None => f.write_str("for ever"),
        }
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.secs().unwrap_or(0))
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_ever_is_longer_than_anything_and_nothing_wraps() {
        assert!(Lifetime::FOREVER > Lifetime::from_secs(u64::MAX));
        assert!(Lifetime::from_secs(1) < Lifetime::from_secs(2));
        assert_eq!(Lifetime::from_secs(0), Lifetime::FOREVER);
        assert_eq!(Lifetime::from_secs(5).expires_at(u64::MAX - 1), Some(u64::MAX));
        assert_eq!(Lifetime::FOREVER.expires_at(5), None);
    }
}
