//! Which endpoint a path means. Several prefixes lead to the same endpoints (contract section 1.1), so a path is
//! first brought to one form and then matched segment by segment.

use super::errors::Shape;
use super::percent::{self, Plus};
use crate::usecase::failure::{Code, Failure};

/// An endpoint, with the names that its path carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Verification for proxies.
    Verify,
    /// The Access API's collection of tokens: create, refresh, list.
    Tokens,
    /// One token by id, or the caller's own (`me`).
    Token(String),
    /// Revoke by value, Access API.
    TokenRevoke,
    /// The lifetime of tokens that name none.
    DefaultExpiry,
    /// The legacy collection of tokens: create, refresh, list.
    LegacyTokens,
    /// Revoke by value or by id, legacy API.
    LegacyRevoke,
    /// Legacy users.
    LegacyUsers,
    /// One legacy user.
    LegacyUser(String),
    /// Legacy groups.
    LegacyGroups,
    /// One legacy group.
    LegacyGroup(String),
    /// Access users.
    Users,
    /// One Access user.
    User(String),
    /// Access groups.
    Groups,
    /// One Access group.
    Group(String),
    /// Proves that a credential works; anonymous is fine, a bad credential is not.
    Ping,
    /// Says that the service is up.
    AccessPing,
    /// The advertised version.
    Version,
    /// This cluster's service id.
    ServiceId,
    /// Clients report usage here; it is read and forgotten.
    Usage,
    /// The certificate that signs tokens.
    RootCertificate,
    /// The certificate that signs TLS certificates.
    ClusterCertificate,
    /// The router's view of the services.
    RouterHealth,
    /// The circle of trust.
    Trust,
    /// One trusted issuer, by kid, name or service id.
    TrustedIssuer(String),
    /// All settings.
    Config,
    /// One setting.
    Setting(String),
    /// The nodes; the rest of the path is the use case's.
    Cluster(Vec<String>),
    /// The process runs.
    Healthz,
    /// The node serves.
    Readyz,
}

/// A path, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// What is there, if anything is.
    pub(crate) endpoint: Result<Endpoint, RouteError>,
    /// How errors are said there, also for paths where nothing is.
    pub(crate) shape: Shape,
}

/// Why a path leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// Nothing is there.
    Unknown,
    /// A segment's percent-encoding is broken.
    Malformed(percent::Malformed),
}

impl RouteError {
    /// As an answer.
    pub(crate) fn failure(&self, path: &str) -> Failure {
        match self {
            Self::Unknown => Failure::new(Code::NotFound, "no_such_path", "HTTP 404 Not Found")
                .with_detail(format!("nothing is served at {path}")),
            Self::Malformed(why) => {
                Failure::bad_request("malformed_path", format!("the path {path} can't be read: {why}"))
            }
        }
    }
}

impl Endpoint {
    /// The methods that it serves, as the `Allow` header lists them.
    pub(crate) fn allow(&self) -> &'static str {
        match self {
            Self::Tokens | Self::LegacyTokens | Self::Trust | Self::Users | Self::Groups => "GET, HEAD, POST",
            Self::Token(_) | Self::TrustedIssuer(_) => "GET, HEAD, DELETE",
            Self::TokenRevoke => "DELETE",
            Self::DefaultExpiry => "GET, HEAD, PUT",
            Self::LegacyRevoke => "POST",
            Self::LegacyUser(_) | Self::LegacyGroup(_) => "GET, HEAD, PUT, POST, DELETE",
            Self::User(_) | Self::Group(_) => "GET, HEAD, PATCH, DELETE",
            Self::Usage => "POST, PUT",
            Self::Config => "GET, HEAD, PATCH",
            Self::Setting(_) => "GET, HEAD, PUT, DELETE",
            Self::Cluster(_) => "GET, HEAD, POST, DELETE",
            Self::Verify
            | Self::LegacyUsers
            | Self::LegacyGroups
            | Self::Ping
            | Self::AccessPing
            | Self::Version
            | Self::ServiceId
            | Self::RootCertificate
            | Self::ClusterCertificate
            | Self::RouterHealth
            | Self::Healthz
            | Self::Readyz => "GET, HEAD",
        }
    }
}

/// Understands a request's path (without its query).
pub(crate) fn route(path: &str) -> Route {
    // The paths that are asked for all day need neither folding nor decoding.
    match path {
        "/circlet/v1/verify" => return Route { endpoint: Ok(Endpoint::Verify), shape: Shape::Circlet },
        "/access/api/v1/tokens" => return Route { endpoint: Ok(Endpoint::Tokens), shape: Shape::Access },
        _ => {}
    }
    let (prefix, rest) = canonical(path);
    let shape = match prefix {
        Prefix::Api => Shape::Artifactory,
        Prefix::Access => Shape::Access,
        Prefix::Other => Shape::Circlet,
    };
    let segments: Result<Vec<String>, _> =
        rest.split('/').filter(|_| !rest.is_empty()).map(|raw| percent::decode(raw, Plus::Literal)).collect();
    let segments = match segments {
        Ok(segments) => segments,
        Err(why) => return Route { endpoint: Err(RouteError::Malformed(why)), shape },
    };
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    let endpoint = match prefix {
        Prefix::Api => api(&names),
        Prefix::Access => access(&names),
        Prefix::Other => other(&names),
    };
    let shape = match endpoint {
        Some(Endpoint::LegacyTokens | Endpoint::LegacyRevoke) => Shape::OAuth,
        _ => shape,
    };
    Route { endpoint: endpoint.ok_or(RouteError::Unknown), shape }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    Api,
    Access,
    Other,
}

/// Folds the aliases: a context path before `/api`, and the ways to reach Access through Artifactory. Repeated
/// slashes at the start and slashes at the end come from joined base URLs and mean nothing.
fn canonical(path: &str) -> (Prefix, &str) {
    let path = path.trim_matches('/');
    let below = |path: &'_ str, prefix: &str| -> Option<usize> {
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| path.len() - rest.trim_start_matches('/').len())
    };
    let table = [
        ("artifactory/api/access", Prefix::Access),
        ("artifactory/access", Prefix::Access),
        ("api/access", Prefix::Access),
        ("access", Prefix::Access),
        ("artifactory/api", Prefix::Api),
        ("api", Prefix::Api),
        ("artifactory", Prefix::Api),
    ];
    for (prefix, kind) in table {
        if let Some(start) = below(path, prefix) {
            return (kind, path.get(start..).unwrap_or_default());
        }
    }
    (Prefix::Other, path)
}

fn api(names: &[&str]) -> Option<Endpoint> {
    Some(match names {
        ["security", "token"] => Endpoint::LegacyTokens,
        ["security", "token", "revoke"] => Endpoint::LegacyRevoke,
        ["security", "users"] => Endpoint::LegacyUsers,
        ["security", "users", name] => Endpoint::LegacyUser((*name).to_owned()),
        ["security", "groups"] => Endpoint::LegacyGroups,
        ["security", "groups", name] => Endpoint::LegacyGroup((*name).to_owned()),
        ["system", "ping"] => Endpoint::Ping,
        ["system", "version"] => Endpoint::Version,
        ["system", "service_id"] => Endpoint::ServiceId,
        ["system", "usage"] => Endpoint::Usage,
        _ => return None,
    })
}

fn access(names: &[&str]) -> Option<Endpoint> {
    Some(match names {
        ["api", "v1", "tokens"] => Endpoint::Tokens,
        ["api", "v1", "tokens", "revoke"] => Endpoint::TokenRevoke,
        ["api", "v1", "tokens", "default_expiry"] | ["api", "v1", "config", "token", "default_expiry"] => {
            Endpoint::DefaultExpiry
        }
        ["api", "v1", "tokens", id] => Endpoint::Token((*id).to_owned()),
        ["api", "v1", "system", "ping"] => Endpoint::AccessPing,
        ["api", "v1", "cert", "root"] => Endpoint::RootCertificate,
        ["api", "v1", "cert", "ca"] => Endpoint::ClusterCertificate,
        ["api", "v2", "users"] => Endpoint::Users,
        ["api", "v2", "users", name] => Endpoint::User((*name).to_owned()),
        ["api", "v2", "groups"] => Endpoint::Groups,
        ["api", "v2", "groups", name] => Endpoint::Group((*name).to_owned()),
        _ => return None,
    })
}

fn other(names: &[&str]) -> Option<Endpoint> {
    Some(match names {
        ["circlet", "v1", "verify"] => Endpoint::Verify,
        ["circlet", "v1", "trust"] => Endpoint::Trust,
        ["circlet", "v1", "trust", issuer] => Endpoint::TrustedIssuer((*issuer).to_owned()),
        ["circlet", "v1", "config"] => Endpoint::Config,
        ["circlet", "v1", "config", name] => Endpoint::Setting((*name).to_owned()),
        ["circlet", "v1", "cluster", rest @ ..] => {
            Endpoint::Cluster(rest.iter().map(|name| (*name).to_owned()).collect())
        }
        ["router", "api", "v1", "system", "health"] => Endpoint::RouterHealth,
        ["healthz"] => Endpoint::Healthz,
        ["readyz"] => Endpoint::Readyz,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> (Option<Endpoint>, Shape) {
        let route = route(path);
        (route.endpoint.ok(), route.shape)
    }

    #[test]
    fn every_alias_leads_to_the_same_endpoint() {
        for path in [
            "/access/api/v1/tokens",
            "/access/api/v1/tokens/",
            "//access/api/v1/tokens",
            "/artifactory/api/access/api/v1/tokens",
            "/artifactory/access/api/v1/tokens",
            "/artifactory/access/api/v1/tokens/",
        ] {
            assert_eq!(found(path), (Some(Endpoint::Tokens), Shape::Access), "{path}");
        }
        for path in ["/artifactory/api/security/token", "/api/security/token", "/api/security/token/"] {
            assert_eq!(found(path), (Some(Endpoint::LegacyTokens), Shape::OAuth), "{path}");
        }
    }

    #[test]
    fn names_in_paths_are_decoded_once() {
        assert_eq!(
            found("/api/security/users/dev%2Fops%20%C3%BC").0,
            Some(Endpoint::LegacyUser("dev/ops ü".into()))
        );
        assert_eq!(found("/access/api/v2/users/a%252Fb").0, Some(Endpoint::User("a%2Fb".into())));
        assert!(matches!(route("/access/api/v2/users/%zz").endpoint, Err(RouteError::Malformed(_))));
    }

    #[test]
    fn literals_go_before_ids() {
        assert_eq!(found("/access/api/v1/tokens/revoke").0, Some(Endpoint::TokenRevoke));
        assert_eq!(found("/access/api/v1/tokens/default_expiry").0, Some(Endpoint::DefaultExpiry));
        assert_eq!(found("/access/api/v1/tokens/me").0, Some(Endpoint::Token("me".into())));
    }

    #[test]
    fn unknown_paths_keep_the_shape_of_their_prefix() {
        assert_eq!(found("/access/api/v1/nothing"), (None, Shape::Access));
        assert_eq!(found("/artifactory/nothing"), (None, Shape::Artifactory));
        assert_eq!(found("/accessible"), (None, Shape::Circlet));
        assert_eq!(found("/"), (None, Shape::Circlet));
    }
}
