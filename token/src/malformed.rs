//! The one error of the small parsers: what was read, what was found, what is allowed.
use crate::limits::QUOTED_CHARS_MAX;
use std::fmt;

/// A text that is not what it should be. Its `Display` is one line for whoever sent the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What was being read, e.g. `service id`.
    pub what: &'static str,
    /// The text that was found, shortened, with control characters escaped.
    pub found: String,
    /// What would have been accepted, e.g. `<kind>@<id>`.
    pub allowed: String,
}

impl Malformed {
    pub(crate) fn new(what: &'static str, found: &str, allowed: impl Into<String>) -> Self {
        Self { what, found: quoted(found), allowed: allowed.into() }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed {} `{}`: allowed is {}", self.what, self.found, self.allowed)
    }
}

impl std::error::Error for Malformed {}

/// Foreign text made safe for a message: at most [`QUOTED_CHARS_MAX`] characters, control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}
