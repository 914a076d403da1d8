//! What is told of a request that failed: to the audit log if somebody was refused, to the node's log if the node is
//! at fault.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::MatchedPath;
use axum::http::{HeaderMap, Method, StatusCode};
use circlet_raft::Trace;
use serde_json::json;

use super::edge::Edge;
use super::request_id::RequestId;
use crate::audit::{Change, Entity, Line};
use crate::authenticate::Caller;
use crate::authenticate::credential::Credential;
use crate::authenticate::tokens;
use crate::refresh_token;
use crate::usecase::failure::{Code, Failure};

/// Names longer than this are nobody's.
const NAME_CHARS_MAX: usize = 255;

/// What becomes known of a request while it is answered. The edge and the handler hold the same.
#[derive(Clone, Default)]
pub(crate) struct Attempt(Arc<Noted>);

#[derive(Default)]
struct Noted {
    route: OnceLock<Route>,
    who: OnceLock<Who>,
}

enum Route {
    /// Found in the table of routes.
    Found(MatchedPath),
    /// Known without looking for it.
    Known(&'static str),
}

enum Who {
    /// Who showed a credential that counts.
    Known(Caller),
    /// Who showed one that doesn't, by the name that came with it.
    Claimed(String),
}

impl Attempt {
    /// The route that the request has taken, as it stands in the table of routes.
    pub(super) fn took(&self, route: Option<MatchedPath>) {
        if let Some(route) = route {
            // The first is the one that counts, and there is only one.
            let _ = self.0.route.set(Route::Found(route));
        }
    }

    /// The route that the request has taken, where nobody had to look for it.
    pub(super) fn took_known(&self, route: &'static str) {
        let _ = self.0.route.set(Route::Known(route));
    }

    /// Somebody showed a credential that counts.
    pub(super) fn known(&self, caller: &Caller) {
        // Who asks twice who asks hears the same.
        let _ = self.0.who.set(Who::Known(caller.clone()));
    }

    /// Somebody showed a credential that doesn't count.
    pub(super) fn refused(&self, headers: &HeaderMap) {
        let _ = self.0.who.set(Who::Claimed(claimed_name(headers)));
    }

    /// The route that the request has taken; empty if there is none.
    pub(super) fn route(&self) -> &str {
        match self.0.route.get() {
            Some(Route::Found(route)) => route.as_str(),
            Some(Route::Known(route)) => route,
            None => "",
        }
    }

    /// Says what failed, where it has to be said.
    pub(super) fn failed(
        &self,
        edge: &Edge,
        asked: (&Method, &RequestId, Trace, IpAddr),
        failure: &Failure,
        status: StatusCode,
    ) {
        let (method, request_id, trace_id, address) = asked;
        let (route, reason) = (self.route(), failure.reason());
        if status.is_server_error() {
            tracing::warn!(%request_id, %trace_id, %method, route, status = status.as_u16(), reason, "request failed");
        } else {
            tracing::debug!(%request_id, %trace_id, %method, route, status = status.as_u16(), reason, "request refused");
        }
        if !is_refusal(failure) || !edge.cluster.published().view.config().audit_enabled {
            return;
        }
        let (user, principal, entity) = match self.0.who.get() {
            Some(Who::Known(caller)) => (caller.name(), caller.principal(), entity(route)),
            Some(Who::Claimed(name)) => (name.as_str(), "", Entity::Login),
            // The pair of a refresh is a credential of its own.
            None => ("", "", entity(route)),
        };
        edge.audit.record(&Line {
            request_id: request_id.as_str(),
            address: Some(address),
            user,
            principal,
            // Paths hold what clients write there, which may be a token; the route holds its place only.
            entity_name: if entity == Entity::Login { user } else { route },
            change: Change::Refused,
            entity,
            data: json!({"refused": {"method": method.as_str(), "route": route, "reason": reason}}),
        });
    }
}

/// Whether somebody was refused what they may not have. Two things are left out, which would fill the log and tell
/// nothing: no credential at all, and expired tokens, with which clients hammer.
fn is_refusal(failure: &Failure) -> bool {
    let refused = matches!(
        failure.code(),
        Code::Unauthorized | Code::Forbidden | Code::TooMuchAsked | Code::InvalidGrant | Code::RefreshUnknown
    );
    refused && !matches!(failure.reason(), "expired" | "no_credential")
}

/// What kind of thing is at a route.
fn entity(route: &str) -> Entity {
    let kinds = [
        ("/config", Entity::Config),
        ("/default_expiry", Entity::Config),
        ("/users", Entity::User),
        ("/groups", Entity::Group),
        ("/trust", Entity::Trust),
        ("/cluster", Entity::Node),
        ("/backup", Entity::Node),
        ("/key", Entity::Key),
        ("/cert", Entity::Key),
        ("/token", Entity::Token),
        ("/watermarks", Entity::Token),
    ];
    kinds.iter().find(|(part, _)| route.contains(part)).map_or(Entity::Login, |(_, entity)| *entity)
}

/// The name that came with a credential; `token` for one without, and in place of a token that was sent as a name.
fn claimed_name(headers: &HeaderMap) -> String {
    match Credential::read(headers) {
        Ok(Credential::Basic { name, .. }) if !may_be_secret(&name) => {
            name.chars().take(NAME_CHARS_MAX).collect()
        }
        _ => "token".to_owned(),
    }
}

/// `curl -u TOKEN:` is a common mistake.
fn may_be_secret(name: &str) -> bool {
    tokens::looks_like_one(name) || name.starts_with("ey") || name.len() == refresh_token::TEXT_CHARS
}

#[cfg(test)]
mod tests {
    use axum::http::header::AUTHORIZATION;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_token_that_was_sent_as_a_name_is_not_repeated() {
        let refresh = "r".repeat(refresh_token::TEXT_CHARS);
        for (name, expected) in
            [("bob", "bob"), ("eyJhbGciOi.eyJzdWIi.c2ln", "token"), (refresh.as_str(), "token"), ("", "")]
        {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", STANDARD.encode(format!("{name}:x")));
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            assert_eq!(claimed_name(&headers), expected);
        }
    }

    #[test]
    fn a_route_tells_what_is_there() {
        for (route, expected) in [
            ("/access/api/v1/tokens/{id}", Entity::Token),
            ("/api/security/token/revoke", Entity::Token),
            ("/access/api/v1/tokens/default_expiry", Entity::Config),
            ("/access/api/v2/users/{name}", Entity::User),
            ("/circlet/v1/cluster/tokens", Entity::Node),
            ("/access/api/v1/cert/root", Entity::Key),
            ("/circlet/v1/verify", Entity::Login),
        ] {
            assert_eq!(entity(route), expected, "{route}");
        }
    }
}
