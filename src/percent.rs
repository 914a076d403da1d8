//! Percent-encoding (RFC 3986 section 2.1), for path segments, query strings, forms and header values.

/// Why a percent-encoded text can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// A `%` that two hexadecimal digits don't follow.
    #[error("a % must be followed by two hexadecimal digits")]
    Escape,
    /// The decoded bytes are no UTF-8.
    #[error("the decoded bytes are not UTF-8")]
    Utf8,
}

/// What a `+` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself, as in a path.
    Literal,
    /// A space, as in a form or a query (`application/x-www-form-urlencoded`).
    Space,
}

/// The text that `encoded` stands for.
pub(crate) fn decode(encoded: &str, plus: Plus) -> Result<String, Malformed> {
    if !encoded.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(encoded.to_owned());
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let high = rest.next().and_then(nibble).ok_or(Malformed::Escape)?;
                let low = rest.next().and_then(nibble).ok_or(Malformed::Escape)?;
                decoded.push(high << 4 | low);
            }
            b'+' if plus == Plus::Space => decoded.push(b' '),
            other => decoded.push(other),
        }
    }
    String::from_utf8(decoded).map_err(|_| Malformed::Utf8)
}

/// `text` with everything but RFC 3986's unreserved characters escaped, appended to `into`.
pub(crate) fn encode_into(text: &str, into: &mut String) {
    encode_except(text, b"", into);
}

/// `text` as a path segment or header value: everything but the unreserved characters escaped.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode_into(text, &mut encoded);
    encoded
}

/// `text` with everything escaped but the unreserved characters and those in `kept`, appended to `into`.
pub(crate) fn encode_except(text: &str, kept: &[u8], into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slash_space_and_unicode_survive_both_ways() {
        for name in ["alice", "dev/ops", "two words", "ünï/cødé 漢字", "100%+1", "a@b.org"] {
            assert_eq!(decode(&encode(name), Plus::Literal).as_deref(), Ok(name));
            assert_eq!(decode(&encode(name), Plus::Space).as_deref(), Ok(name));
        }
    }

    #[test]
    fn a_plus_is_a_space_in_forms_only() {
        assert_eq!(decode("a+b", Plus::Space).as_deref(), Ok("a b"));
        assert_eq!(decode("a+b", Plus::Literal).as_deref(), Ok("a+b"));
    }

    #[test]
    fn broken_escapes_and_bad_utf8_are_named() {
        for text in ["%", "%1", "%zz", "a%2", "%+1"] {
            assert_eq!(decode(text, Plus::Space), Err(Malformed::Escape), "{text}");
        }
        assert_eq!(decode("%ff%fe", Plus::Literal), Err(Malformed::Utf8));
    }
}
