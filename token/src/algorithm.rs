//! The signature algorithms.
use crate::malformed::Malformed;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A signature algorithm, named as in a token's header (RFC 7518, RFC 8037). Persisted as one byte: 1 `EdDSA`,
/// 2 `RS256`, 3 `ES256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 (RFC 8032), the default of a new cluster.
    EdDsa,
    /// RSA PKCS#1 v1.5 with SHA-256, keys of 2048 to 4096 bits: what the original issues.
    Rs256,
    /// ECDSA on P-256 with SHA-256, signatures of 64 bytes. Verified only: this crate issues none.
    Es256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Rs256, Self::Es256];

    /// The name in a header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    /// Reads the name in a header, exactly.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| Malformed::new("algorithm", text, "EdDSA, RS256 or ES256"))
    }

    fn tag(self) -> u8 {
        match self {
            Self::EdDsa => 1,
            Self::Rs256 => 2,
            Self::Es256 => 3,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.tag())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tag = u8::deserialize(deserializer)?;
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.tag() == tag)
            .ok_or_else(|| serde::de::Error::custom(format_args!("unknown algorithm tag {tag}")))
    }
}
