//! base64url without padding (RFC 7515 section 2), strictly: one text per byte string.
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` for any padding, foreign character, impossible length, or bits left over in the last character: a token must
/// not have two spellings.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(decode("QQ").unwrap(), b"A");
        for text in ["QR", "QQ==", "Q", "QQ=", "Q Q", "QQ\n", "+w", "/w", "QUFB=", "QUF"] {
            assert_eq!(decode(text).is_some(), text == "QUE", "{text:?}");
        }
    }
}
