//! JSON as tokens need it: objects whose names are unique, and strings that any base64 decoder can read back.
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// An object's members, and the first name that came twice. RFC 7519 section 4 lets a parser take the last of two; then
/// two parsers can read two different tokens out of one signature.
pub(crate) struct Object {
    pub(crate) members: BTreeMap<String, Value>,
    pub(crate) duplicate: Option<String>,
}

impl Object {
    /// Reads one object and nothing behind it.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Object, A::Error> {
                let mut object = Object { members: BTreeMap::new(), duplicate: None };
                while let Some((name, value)) = access.next_entry::<String, Value>()? {
                    match object.members.entry(name) {
                        Entry::Vacant(entry) => drop(entry.insert(value)),
                        Entry::Occupied(entry) => drop(object.duplicate.get_or_insert(entry.key().clone())),
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// Appends `text` as a JSON string of ASCII characters in which `>`, `?`, `~` and DEL are escaped as well.
///
/// Some clients decode a token's payload with the standard base64 alphabet (contract 1.9). The two alphabets differ in the
/// digits 62 and 63, and among ASCII bytes only those four can yield them. So no payload ever has a `-` or `_`.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='}' if !matches!(c, '>' | '?') => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    push_unit(out, *unit);
                }
            }
        }
    }
    out.push('"');
}

fn push_unit(out: &mut String, unit: u16) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let nibble = u32::from((unit >> shift) & 0xF);
        out.push(char::from_digit(nibble, 16).expect("four bits are one hexadecimal digit"));
    }
}

/// How many bytes [`push_string`] appends for `text`, without its two quotes.
pub(crate) fn string_bytes(text: &str) -> usize {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => 2,
            ' '..='}' if !matches!(c, '>' | '?') => 1,
            _ => c.len_utf16().saturating_mul(6),
        })
        .fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_plain_ascii_and_reads_back() {
        let text = "a/b\"\\ >?~\u{7f}\u{1}\né🦀";
        let mut out = String::new();
        push_string(&mut out, text);
        assert_eq!(out, "\"a/b\\\"\\\\ \\u003e\\u003f\\u007e\\u007f\\u0001\\u000a\\u00e9\\ud83e\\udd80\"");
        assert_eq!(out.len(), string_bytes(text) + 2);
        assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
    }

    #[test]
    fn an_object_tells_which_name_came_twice() {
        assert_eq!(Object::parse(br#"{"a":1,"b":2,"\u0061":3}"#).unwrap().duplicate.unwrap(), "a");
        assert!(Object::parse(br#"{"a":1,"b":2}"#).unwrap().duplicate.is_none());
        for bytes in [
            b"".as_slice(),
            b"[]",
            b"{}x",
            b"{\"a\":1}{}",
            b"\xef\xbb\xbf{}",
            b"{\"\xff\":1}",
            b"null",
            b"{\"a\":\"\\ud800\"}",
        ] {
            assert!(Object::parse(bytes).is_none(), "{bytes:?}");
        }
    }
}
