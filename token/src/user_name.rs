//! The name of a user.
use crate::limits::USER_NAME_CHARS_MAX;
use crate::malformed::Malformed;
use crate::text::serde_as_text;
use std::borrow::Borrow;
use std::sync::Arc;

/// A user's name: 1 to 255 characters, none of them `:` (it would end the name in Basic authentication, RFC 7617) or a
/// control character. Whoever takes a name from outside brings it to lower case first; here it is kept as given. A copy
/// shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Arc<str>);

impl UserName {
    /// Reads a name.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let chars = text.chars().count();
        let refused = text.contains(|c: char| c == ':' || c.is_control());
        if chars == 0
            || chars > USER_NAME_CHARS_MAX
            || refused
            || text.starts_with(' ')
            || text.ends_with(' ')
        {
            return Err(Malformed::new(
                "user name",
                text,
                format!(
                    "1 to {USER_NAME_CHARS_MAX} characters without `:`, control characters, or a space at either end"
                ),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

serde_as_text!(UserName, UserName::parse);

/// In a map by name, a text that is no name is simply not there.
impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_long_and_in_any_script_but_not_break_a_line() {
        for name in ["a", "alice@example.org", "a/b", "дарья", "🦀", &"é".repeat(255), "a b"] {
            assert_eq!(UserName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", " a", "a ", "a:b", "a\nb", "a\u{7f}", "a\u{85}", &"é".repeat(256)] {
            assert!(UserName::parse(name).is_err(), "{name:?}");
        }
    }
}
