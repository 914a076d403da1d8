//! The name of a service: `jfrt@01h2x3...`.
use crate::limits::{SERVICE_KIND_BYTES_MAX, SERVICE_UNIQUE_BYTES_MAX};
use crate::malformed::Malformed;
use crate::text::serde_as_text;
use std::sync::Arc;

/// Kinds that one installation goes by: its Access service, its Artifactory, and the latter's name before 5.5.2.
const AUTHORITY_KINDS: [&str; 3] = ["jfac", "jfrt", "jf-artifactory"];

/// A service id: a kind, `@`, and a part that is unique in the world (a ULID in lower case; `000` for a front end).
///
/// Two ids name the same service if their unique parts are equal, whatever their kind: see [`Self::same_service`].
/// `Eq` and `Ord` compare the whole text. A copy shares it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    text: Arc<str>,
    kind_bytes: usize,
}

impl ServiceId {
    /// Reads `<kind>@<id>`: the kind of lower-case letters, digits and `-`, starting with a letter; the id of
    /// lower-case letters, digits and `-`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let malformed = || {
            Malformed::new(
                "service id",
                text,
                "<kind>@<id> in lower case, e.g. jfrt@01h2x3y4z5a6b7c8d9e0f1g2h3",
            )
        };
        let (kind, unique) = text.split_once('@').ok_or_else(malformed)?;
        if is_kind(kind) && is_unique(unique) {
            Ok(Self { text: text.into(), kind_bytes: kind.len() })
        } else {
            Err(malformed())
        }
    }

    /// The part before `@`, e.g. `jfrt`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text.get(..self.kind_bytes).unwrap_or_default()
    }

    /// The unique part, after `@`.
    #[must_use]
    pub fn ulid(&self) -> &str {
        self.text.get(self.kind_bytes.saturating_add(1)..).unwrap_or_default()
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether both name one service: equal unique parts. The kind is ignored, because one installation signs as
    /// `jfrt@X`, `jfac@X` or `jffe@X`.
    #[must_use]
    pub fn same_service(&self, other: &Self) -> bool {
        self.ulid() == other.ulid()
    }
}

/// Whether `asked`, the kind in an audience or a scope, means a service of kind `mine`.
pub(crate) fn kind_means(asked: &str, mine: &str) -> bool {
    asked == mine || (AUTHORITY_KINDS.contains(&asked) && AUTHORITY_KINDS.contains(&mine))
}

pub(crate) fn is_kind(text: &str) -> bool {
    text.len() <= SERVICE_KIND_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub(crate) fn is_unique(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= SERVICE_UNIQUE_BYTES_MAX
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

serde_as_text!(ServiceId, ServiceId::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_kind_and_a_unique_part() {
        let id = ServiceId::parse("jf-artifactory@01h2").unwrap();
        assert_eq!((id.kind(), id.ulid(), id.as_str()), ("jf-artifactory", "01h2", "jf-artifactory@01h2"));
        assert!(id.same_service(&ServiceId::parse("jfac@01h2").unwrap()));
        assert!(!id.same_service(&ServiceId::parse("jf-artifactory@01h3").unwrap()));
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        for text in [
            "",
            "@",
            "jfrt",
            "jfrt@",
            "@01h2",
            "jfrt@01H2",
            "JFRT@01h2",
            "jfrt@01h2/users/x",
            "jfrt@a@b",
            "jfrt@*",
            "jfrt@\n",
            "1a@b",
        ] {
            assert!(ServiceId::parse(text).is_err(), "{text:?}");
        }
        assert!(ServiceId::parse(&format!("jfrt@{}", "a".repeat(65))).is_err());
    }
}
