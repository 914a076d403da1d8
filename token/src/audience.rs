//! The services that may accept a token.
use crate::limits::{AUDIENCE_CHARS_MAX, AUDIENCE_ENTRIES_MAX, TOKEN_BYTES_MAX};
use crate::malformed::Malformed;
use crate::service_id::{ServiceId, is_kind, is_unique, kind_means};
use crate::text::serde_as_text;
use serde_json::Value;
use std::cmp::Ordering;

/// The kinds of service that an audience of ours may name (contract 1.6), and the old name of the second.
const KINDS: [&str; 11] =
    ["jfac", "jfrt", "jf-artifactory", "jfxr", "jfpip", "jfds", "jfmc", "jfevt", "jfmd", "jfcon", "jffe"];

/// The claim `aud`: a list of services, each `<kind>@<id>` with `*` for either part.
///
/// Like [`Scope`](crate::Scope), it is read strictly when someone asks for it ([`Audience::parse`]) and leniently when a
/// signature vouches for it ([`Audience::read`], [`Audience::from_json`]): what can't be understood matches nobody.
#[derive(Clone)]
pub struct Audience {
    text: String,
    entries: Vec<AudienceEntry>,
}

/// One entry of an [`Audience`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AudienceEntry {
    /// `*` or `*@*`: every service.
    Any,
    /// `<kind>@*`: every service of this kind.
    Kind(String),
    /// `*@<id>`: this service, whatever its kind.
    Unique(String),
    /// `<kind>@<id>`: this service.
    Service(ServiceId),
    /// Something else, in a token that was signed elsewhere. It matches nobody.
    Other(String),
}

impl Audience {
    /// Every service: `*@*`.
    #[must_use]
    pub fn any() -> Self {
        Self { text: "*@*".to_owned(), entries: vec![AudienceEntry::Any] }
    }

    /// One service.
    #[must_use]
    pub fn service(id: &ServiceId) -> Self {
        Self { text: id.to_string(), entries: vec![AudienceEntry::Service(id.clone())] }
    }

    /// Reads a requested audience: entries separated by spaces, at least one, each with a known kind.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = |found: &str, allowed: String| Malformed::new("audience", found, allowed);
        let grammar = || {
            format!(
                "<kind>@<id> or <kind>@* separated by spaces, or *@*, with a kind of {}",
                KINDS.join(", ")
            )
        };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let entries: Vec<_> = words.iter().map(|word| AudienceEntry::read(word)).collect();
        for (entry, word) in entries.iter().zip(&words) {
            if !entry.has_known_kind() {
                return Err(malformed(word, grammar()));
            }
        }
        let joined = words.join(" ");
        if entries.is_empty() {
            return Err(malformed(text, grammar()));
        }
        if joined.chars().count() > AUDIENCE_CHARS_MAX || entries.len() > AUDIENCE_ENTRIES_MAX {
            return Err(malformed(
                text,
                format!("at most {AUDIENCE_CHARS_MAX} characters and {AUDIENCE_ENTRIES_MAX} entries"),
            ));
        }
        Ok(Self { text: joined, entries })
    }

    /// Reads the audience of a token that was signed: entries separated by spaces, possibly none.
    pub fn read(text: &str) -> Result<Self, Malformed> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Malformed::new("audience", text, format!("at most {TOKEN_BYTES_MAX} bytes")));
        }
        Self::of(text.split_ascii_whitespace())
    }

    /// Reads the claim: a string with one entry (or several, separated by spaces), or an array of strings.
    pub fn from_json(value: &Value) -> Result<Self, Malformed> {
        let malformed = || Malformed::new("audience", &value.to_string(), "a string or an array of strings");
        match value {
            Value::String(text) => Self::read(text),
            Value::Array(values) => {
                let words = values.iter().map(|value| value.as_str().ok_or_else(malformed));
                Self::of(words.collect::<Result<Vec<_>, _>>()?.into_iter())
            }
            _ => Err(malformed()),
        }
    }

    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, Malformed> {
        let words: Vec<&str> = words.collect();
        if let Some(word) =
            words.iter().find(|word| word.is_empty() || word.contains(|c: char| c.is_control() || c == ' '))
        {
            return Err(Malformed::new("audience", word, "entries without spaces or control characters"));
        }
        Ok(Self {
            text: words.join(" "),
            entries: words.iter().map(|word| AudienceEntry::read(word)).collect(),
        })
    }

    /// The entries, in the order given.
    #[must_use]
    pub fn entries(&self) -> &[AudienceEntry] {
        &self.entries
    }

    /// Whether `me` is among them. A service that is an authority (kind `jfrt`, `jfac` or `jf-artifactory`) answers to
    /// all three of these kinds, because it is all three.
    #[must_use]
    pub fn accepts(&self, me: &ServiceId) -> bool {
        self.entries.iter().any(|entry| match entry {
            AudienceEntry::Any => true,
            AudienceEntry::Kind(kind) => kind_means(kind, me.kind()),
            AudienceEntry::Unique(unique) => unique == me.ulid(),
            AudienceEntry::Service(service) => {
                service.same_service(me) && kind_means(service.kind(), me.kind())
            }
            AudienceEntry::Other(_) => false,
        })
    }

    /// Whether it is exactly one service, namely `own`.
    #[must_use]
    pub fn is_only(&self, own: &ServiceId) -> bool {
        matches!(self.entries.as_slice(), [AudienceEntry::Service(service)] if service.same_service(own))
    }

    /// The text as given, with one space between entries.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

serde_as_text!(Audience, Audience::read);

impl AudienceEntry {
    fn read(word: &str) -> Self {
        if word == "*" {
            return Self::Any;
        }
        match word.split_once('@') {
            Some(("*", "*")) => Self::Any,
            Some((kind, "*")) if is_kind(kind) => Self::Kind(kind.to_owned()),
            Some(("*", unique)) if is_unique(unique) => Self::Unique(unique.to_owned()),
            _ => ServiceId::parse(word).map_or_else(|_| Self::Other(word.to_owned()), Self::Service),
        }
    }

    fn has_known_kind(&self) -> bool {
        match self {
            Self::Any | Self::Unique(_) => true,
            Self::Kind(kind) => KINDS.contains(&kind.as_str()),
            Self::Service(service) => KINDS.contains(&service.kind()),
            Self::Other(_) => false,
        }
    }
}

// The entries follow from the text, so that the text alone decides.
impl PartialEq for Audience {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Audience {}

impl PartialOrd for Audience {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Audience {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ServiceId {
        ServiceId::parse(text).unwrap()
    }

    #[test]
    fn an_authority_answers_to_all_its_names() {
        let me = id("jfrt@01own");
        for text in [
            "*",
            "*@*",
            "jfrt@*",
            "jfac@*",
            "jf-artifactory@*",
            "jfrt@01own",
            "jfac@01own",
            "*@01own",
            "jfxr@* jfac@*",
        ] {
            assert!(Audience::parse(text).unwrap().accepts(&me), "{text}");
        }
        for text in ["jfxr@*", "jfrt@01other", "jfac@01other", "jfxr@01own", "*@01other"] {
            assert!(!Audience::parse(text).unwrap().accepts(&me), "{text}");
        }
    }

    #[test]
    fn another_service_answers_to_its_own_name_only() {
        let me = id("jfxr@01xray");
        assert!(Audience::parse("jfxr@*").unwrap().accepts(&me));
        assert!(Audience::parse("jfxr@01xray").unwrap().accepts(&me));
        assert!(!Audience::parse("jfrt@* jfac@* jfrt@01xray").unwrap().accepts(&me));
    }

    #[test]
    fn a_request_is_checked_and_a_signed_one_is_only_read() {
        for text in [
            "",
            " ",
            "jfrt",
            "foo@*",
            "jfrt@",
            "jfrt@*x",
            "https://example.org",
            "@*",
            &"jfrt@01h2 ".repeat(26),
        ] {
            assert!(Audience::parse(text).is_err(), "{text:?}");
        }
        let read = Audience::read("https://example.org foo@*").unwrap();
        assert!(!read.accepts(&id("jfrt@01own")) && read.accepts(&id("foo@1")));
        assert!(!Audience::read("").unwrap().accepts(&id("jfrt@01own")));
    }

    #[test]
    fn the_claim_is_a_string_or_an_array() {
        use serde_json::json;
        for value in [json!("jfrt@01own"), json!(["jfxr@*", "jfrt@*"]), json!("jfxr@* jfrt@*")] {
            assert!(Audience::from_json(&value).unwrap().accepts(&id("jfrt@01own")), "{value}");
        }
        for value in
            [json!(1), json!(null), json!([1]), json!(["a b"]), json!([""]), json!({"a": 1}), json!("a\u{0}")]
        {
            assert!(Audience::from_json(&value).is_err(), "{value}");
        }
    }
}
