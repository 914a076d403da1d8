//! What a token allows.
mod item;
mod words;

use crate::limits::{SCOPE_JSON_BYTES_MAX, TOKEN_BYTES_MAX};
use crate::malformed::Malformed;
use crate::service_id::ServiceId;
use crate::text::serde_as_text;
use crate::{json, scope::words::words};
pub use item::ScopeItem;
use std::cmp::Ordering;

/// The claim `scp`: a list of items, of both generations' grammar (contract 1.4 and 1.8).
///
/// [`Scope::parse`] is for what someone asks for, and refuses an item that it doesn't know. [`Scope::read`] is for what a
/// signature already vouches for: an item of another product is kept as [`ScopeItem::Other`] and allows nothing.
#[derive(Clone)]
pub struct Scope {
    text: String,
    items: Vec<ScopeItem>,
}

impl Scope {
    /// Reads a requested scope: at least one item, each of them known. The error names the item that is not, and what
    /// is allowed.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let words = words(text)?;
        if words.is_empty() {
            return Err(Malformed::new("scope", text, item::ALLOWED));
        }
        let items = words.iter().map(|word| ScopeItem::parse(word)).collect::<Result<_, _>>()?;
        let scope = Self { text: words.join(" "), items };
        if json::string_bytes(&scope.text) > SCOPE_JSON_BYTES_MAX {
            return Err(Malformed::new("scope", text, format!("at most {SCOPE_JSON_BYTES_MAX} bytes")));
        }
        Ok(scope)
    }

    /// Reads the scope of a token that was signed: unknown items allow nothing, and there may be none at all.
    pub fn read(text: &str) -> Result<Self, Malformed> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Malformed::new("scope", text, format!("at most {TOKEN_BYTES_MAX} bytes")));
        }
        let words = words(text)?;
        let items = words.iter().map(|word| ScopeItem::read(word)).collect();
        Ok(Self { text: words.join(" "), items })
    }

    /// The items, in the order given.
    #[must_use]
    pub fn items(&self) -> &[ScopeItem] {
        &self.items
    }

    /// Whether it makes its bearer an administrator of the service `own`: `applied-permissions/admin`, or
    /// `<own id>:admin`.
    #[must_use]
    pub fn is_admin(&self, own: &ServiceId) -> bool {
        self.items.iter().any(|item| match item {
            ScopeItem::Admin => true,
            ScopeItem::ServiceAdmin(service) => service.same_service(own),
            _ => false,
        })
    }

    /// Whether it carries the live permissions of its user: `applied-permissions/user`.
    #[must_use]
    pub fn is_user(&self) -> bool {
        self.items.contains(&ScopeItem::User)
    }

    /// The groups that it names, in either grammar, in the order given; a name may come twice.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.items
            .iter()
            .flat_map(|item| match item {
                ScopeItem::MemberOfGroups { names, .. } | ScopeItem::Groups(names) => names.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
    }

    /// Whether it takes all groups that its user is in when it is used: `member-of-groups:*`.
    #[must_use]
    pub fn all_groups(&self) -> bool {
        self.items.iter().any(|item| matches!(item, ScopeItem::MemberOfGroups { all: true, .. }))
    }

    /// How many characters it has, for [`ACCESS_SCOPE_CHARS_MAX`](crate::limits::ACCESS_SCOPE_CHARS_MAX).
    #[must_use]
    pub fn chars(&self) -> usize {
        self.text.chars().count()
    }

    /// The text as given, with one space between items.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

serde_as_text!(Scope, Scope::read);

// The items follow from the text, so that the text alone decides.
impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Scope {}

impl PartialOrd for Scope {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scope {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> ServiceId {
        ServiceId::parse("jfrt@01own").unwrap()
    }

    #[test]
    fn the_text_is_echoed_with_single_spaces() {
        for (given, kept) in [
            ("system:metrics:r", "system:metrics:r"),
            ("  api:*\tmember-of-groups:a,b ", "api:* member-of-groups:a,b"),
            ("member-of-groups:\"g1,g2 with  space\"  api:*", "member-of-groups:\"g1,g2 with  space\" api:*"),
        ] {
            assert_eq!(Scope::parse(given).unwrap().as_str(), kept);
        }
    }

    #[test]
    fn groups_of_repeated_items_are_taken_together() {
        let scope = Scope::parse(
            "applied-permissions/groups:a applied-permissions/groups:\"b c\",d member-of-groups:e",
        )
        .unwrap();
        assert_eq!(scope.groups().collect::<Vec<_>>(), ["a", "b c", "d", "e"]);
        assert!(!scope.all_groups() && !scope.is_user() && !scope.is_admin(&own()));
    }

    #[test]
    fn admin_is_the_general_item_or_the_one_of_this_service() {
        for (text, admin) in [
            ("applied-permissions/admin", true),
            ("jfrt@01own:admin", true),
            ("jf-artifactory@01own:admin api:*", true),
            ("jfrt@01their:admin", false),
            ("applied-permissions/user", false),
            ("applied-permissions/groups:admin", false),
        ] {
            assert_eq!(Scope::parse(text).unwrap().is_admin(&own()), admin, "{text}");
        }
    }

    #[test]
    fn an_unknown_item_is_named_when_asked_for_and_allows_nothing_when_signed() {
        let error = Scope::parse("api:* applied-permissions/adm1n").unwrap_err();
        assert_eq!(error.found, "applied-permissions/adm1n");
        assert!(error.to_string().contains("applied-permissions/admin"), "{error}");
        let scope = Scope::read("applied-permissions/adm1n path:repo/x:read").unwrap();
        assert!(scope.items().iter().all(|item| matches!(item, ScopeItem::Other(_))));
        assert!(!scope.is_admin(&own()) && scope.groups().next().is_none());
        assert!(Scope::read("").unwrap().items().is_empty());
    }

    #[test]
    fn a_scope_is_counted_as_it_stands_in_the_token() {
        let plain = "g".repeat(SCOPE_JSON_BYTES_MAX - "member-of-groups:".len());
        assert!(Scope::parse(&format!("member-of-groups:{plain}")).is_ok());
        assert!(Scope::parse(&format!("member-of-groups:{plain}g")).is_err());
        assert!(Scope::parse(&format!("member-of-groups:{}", "~".repeat(SCOPE_JSON_BYTES_MAX / 6))).is_err());
    }
}
