//! One item of a scope.
use crate::malformed::Malformed;
use crate::service_id::ServiceId;

/// What a request may ask for, for error messages.
pub(super) const ALLOWED: &str = "applied-permissions/user, applied-permissions/admin, \
    applied-permissions/groups:<a,b>, applied-permissions/roles:<project>:<a,b>, \
    system:<metrics|livelogs|identities|permissions|info/..>:<actions>, artifact:<target>[/<path>]:<actions>, \
    api:*, member-of-groups:<a,b> or member-of-groups:*, <own service id>:admin";

const ACTIONS: &str = "rwdamxs";
const SYSTEM_AREAS: [&str; 4] = ["metrics", "livelogs", "identities", "permissions"];
/// The kinds of service whose administrator a legacy scope can name.
const ADMIN_KINDS: [&str; 3] = ["jfrt", "jf-artifactory", "jfac"];

/// One item of a [`Scope`](crate::Scope).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScopeItem {
    /// `api:*`: the legacy generation's mark for the REST API.
    Api,
    /// `member-of-groups:a,b`: the rights of these groups; `*` stands for all groups of the user when it is used.
    MemberOfGroups {
        /// The groups named.
        names: Vec<String>,
        /// Whether `*` is among them.
        all: bool,
    },
    /// `<service-id>:admin`: administrator of that service.
    ServiceAdmin(ServiceId),
    /// `applied-permissions/user`: the user's own permissions when it is used.
    User,
    /// `applied-permissions/admin`: administrator.
    Admin,
    /// `applied-permissions/groups:a,b`: the rights of these groups.
    Groups(Vec<String>),
    /// `applied-permissions/roles:<project>:a,b`: these roles in a project.
    Roles {
        /// The project's key.
        project: String,
        /// The roles' names.
        roles: Vec<String>,
    },
    /// `system:<area>:<actions>`, e.g. `system:metrics:r`.
    System {
        /// The area, e.g. `metrics` or `info/storage`.
        area: String,
        /// The actions as given: letters of `rwdamxs`, or `*`.
        actions: String,
    },
    /// `artifact:<target>[/<path>]:<actions>`.
    Artifact {
        /// The target, with the path in it.
        target: String,
        /// The actions as given: letters of `rwdamxs`, or `*`.
        actions: String,
    },
    /// An item that this version doesn't know, in a token that was signed elsewhere. It allows nothing.
    Other(String),
}

impl ScopeItem {
    /// Reads an item that someone asks for.
    pub(super) fn parse(word: &str) -> Result<Self, Malformed> {
        Self::known(word).ok_or_else(|| Malformed::new("scope item", word, ALLOWED))
    }

    /// Reads an item that a signature vouches for.
    pub(super) fn read(word: &str) -> Self {
        Self::known(word).unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    fn known(word: &str) -> Option<Self> {
        if word == "api:*" {
            return Some(Self::Api);
        }
        if let Some(list) = word.strip_prefix("member-of-groups:") {
            let (stars, names): (Vec<_>, Vec<_>) = names(list)?.into_iter().partition(|name| name == "*");
            return Some(Self::MemberOfGroups { names, all: !stars.is_empty() });
        }
        if let Some(applied) = word.strip_prefix("applied-permissions/") {
            return Self::applied(applied);
        }
        if let Some(rest) = word.strip_prefix("system:") {
            let (area, actions) = rest.rsplit_once(':')?;
            let known = SYSTEM_AREAS.contains(&area) || area.strip_prefix("info/").is_some_and(is_plain);
            return (known && are_actions(actions))
                .then(|| Self::System { area: area.to_owned(), actions: actions.to_owned() });
        }
        if let Some(rest) = word.strip_prefix("artifact:") {
            let (target, actions) = rest.rsplit_once(':')?;
            return (is_plain(target) && are_actions(actions))
                .then(|| Self::Artifact { target: target.to_owned(), actions: actions.to_owned() });
        }
        let service = ServiceId::parse(word.strip_suffix(":admin")?).ok()?;
        ADMIN_KINDS.contains(&service.kind()).then_some(Self::ServiceAdmin(service))
    }

    fn applied(rest: &str) -> Option<Self> {
        match rest {
            "user" => return Some(Self::User),
            "admin" => return Some(Self::Admin),
            _ => {}
        }
        if let Some(list) = rest.strip_prefix("groups:") {
            let names = names(list)?;
            // `*` means a user's groups only in the legacy grammar; here one asks for `applied-permissions/user`.
            return (!names.iter().any(|name| name == "*")).then_some(Self::Groups(names));
        }
        let (project, list) = rest.strip_prefix("roles:")?.split_once(':')?;
        is_plain(project).then_some(())?;
        Some(Self::Roles { project: project.to_owned(), roles: names(list)? })
    }
}

/// A list of names: separated by commas, in quotes or not (quotes only keep spaces together, a comma separates within
/// them as well), with one trailing comma allowed, as clients write it.
fn names(list: &str) -> Option<Vec<String>> {
    if list.contains('\\') {
        return None;
    }
    let bare = list.replace('"', "");
    let bare = bare.strip_suffix(',').unwrap_or(&bare);
    let names: Vec<String> = bare.split(',').map(|name| name.trim_matches(' ').to_owned()).collect();
    (!names.iter().any(String::is_empty)).then_some(names)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && !text.contains(['"', '\\', ':'])
}

fn are_actions(text: &str) -> bool {
    text == "*"
        || text.split(',').all(|letters| !letters.is_empty() && letters.chars().all(|c| ACTIONS.contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn quotes_and_a_trailing_comma_are_tolerated() {
        for (word, names) in [
            ("applied-permissions/groups:g1,g2", ["g1", "g2"].as_slice()),
            ("applied-permissions/groups:\"g1\",\"g2\"", &["g1", "g2"]),
            ("applied-permissions/groups:\"g 1,g2\"", &["g 1", "g2"]),
            ("applied-permissions/groups:\"admin-group\",", &["admin-group"]),
        ] {
            assert_eq!(ScopeItem::parse(word).unwrap(), ScopeItem::Groups(list(names)), "{word}");
        }
        let legacy = ScopeItem::parse("member-of-groups:\"a,b\"").unwrap();
        assert_eq!(legacy, ScopeItem::MemberOfGroups { names: list(&["a", "b"]), all: false });
    }

    #[test]
    fn a_star_is_all_groups_in_the_legacy_grammar_only() {
        let all = |names: &[&str]| ScopeItem::MemberOfGroups { names: list(names), all: true };
        assert_eq!(ScopeItem::parse("member-of-groups:*").unwrap(), all(&[]));
        assert_eq!(ScopeItem::parse("member-of-groups:\"*\"").unwrap(), all(&[]));
        assert_eq!(ScopeItem::parse("member-of-groups:a,*").unwrap(), all(&["a"]));
        assert!(ScopeItem::parse("applied-permissions/groups:*").is_err());
    }

    #[test]
    fn the_other_items_are_read_into_their_parts() {
        let system = |area: &str, actions: &str| ScopeItem::System {
            area: area.to_owned(),
            actions: actions.to_owned(),
        };
        assert_eq!(ScopeItem::parse("system:metrics:r").unwrap(), system("metrics", "r"));
        assert_eq!(ScopeItem::parse("system:info/storage:r").unwrap(), system("info/storage", "r"));
        assert_eq!(
            ScopeItem::parse("artifact:repo/a/b:r,w").unwrap(),
            ScopeItem::Artifact { target: "repo/a/b".to_owned(), actions: "r,w".to_owned() }
        );
        assert_eq!(
            ScopeItem::parse("applied-permissions/roles:p1:\"Project Admin\",dev").unwrap(),
            ScopeItem::Roles { project: "p1".to_owned(), roles: list(&["Project Admin", "dev"]) }
        );
    }

    #[test]
    fn what_is_not_in_the_grammar_is_refused() {
        for word in [
            "api",
            "api:read",
            "member-of-groups",
            "member-of-groups:",
            "member-of-groups:a,,b",
            "member-of-groups:,a",
            "member-of-groups:a\\b",
            "member-of-groups:\",\"",
            "Applied-permissions/user",
            "applied-permissions/User",
            "applied-permissions/",
            "applied-permissions/groups:",
            "applied-permissions/roles:p1",
            "applied-permissions/roles::r",
            "system:r",
            "system:disks:r",
            "system:metrics:",
            "system:metrics:q",
            "system:metrics:r,",
            "artifact:repo",
            "artifact::r",
            "repository:x:r",
            ":admin",
            "jfxr@01h2:admin",
            "jfrt@01h2:adm",
            "jfrt@*:admin",
        ] {
            assert!(ScopeItem::parse(word).is_err(), "{word}");
        }
    }
}
