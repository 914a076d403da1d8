//! The id of a token: a UUID.
use crate::malformed::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A token's id, the claim `jti`: a UUID, kept as its 16 bytes. Persisted as those bytes, without a length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenId(pub [u8; 16]);

impl TokenId {
    /// Reads the hyphenated form, `8-4-4-4-12` hexadecimal digits in either case.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed =
            || Malformed::new("token id", text, "a UUID, e.g. 6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c");
        if text.len() != 36 {
            return Err(malformed());
        }
        let mut bytes = [0_u8; 16];
        let mut nibbles = 0_usize;
        for (at, c) in text.bytes().enumerate() {
            if matches!(at, 8 | 13 | 18 | 23) {
                if c != b'-' {
                    return Err(malformed());
                }
                continue;
            }
            let digit = char::from(c)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or_else(malformed)?;
            let byte = bytes.get_mut(nibbles / 2).ok_or_else(malformed)?;
            *byte = (*byte << 4) | digit;
            nibbles = nibbles.saturating_add(1);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = u128::from_be_bytes(self.0);
        let (first, second, third, fourth) = (id >> 96, id >> 80, id >> 64, id >> 48);
        write!(
            f,
            "{first:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            second & 0xffff,
            third & 0xffff,
            fourth & 0xffff,
            id & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

impl std::str::FromStr for TokenId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_written_and_in_lower_case() {
        let text = "6B1C8D8E-0f5a-4c6e-9a57-1d2f3e4a5b6c";
        assert_eq!(TokenId::parse(text).unwrap().to_string(), text.to_lowercase());
    }

    #[test]
    fn what_is_not_a_uuid_is_refused() {
        for text in [
            "",
            "6b1c8d8e0f5a4c6e9a571d2f3e4a5b6c",
            "6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6",
            "6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6cc",
            "6b1c8d8e-0f5a-4c6e-9a57+1d2f3e4a5b6c",
            "6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5bgg",
            "6b1c8d8e--f5a-4c6e-9a57-1d2f3e4a5b6c",
            "6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5béc",
        ] {
            assert!(TokenId::parse(text).is_err(), "{text:?}");
        }
    }
}
