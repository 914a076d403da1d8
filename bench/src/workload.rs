//! The workloads: what clients of an access-token authority do all day.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Bytes;
use hyper::{Method, StatusCode};

use crate::connection::{Call, Reply};
use crate::load::Client;

const TOKENS: &str = "/access/api/v1/tokens";
const VERIFY: &str = "/circlet/v1/verify";
const JSON: &str = "application/json";

/// Strings that one workload leaves for the next: tokens, ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<String>>>);

impl Pool {
    fn put(&self, item: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }

    /// Takes one out.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// How many are left.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// What kind of token a `Create` asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Ten minutes, not refreshable: signed by the node that is asked, without the log.
    Plain,
    /// A year: recorded and revocable.
    Recorded,
    /// A year, with a refresh token.
    Refreshable,
}

/// Creates tokens for one user after another and keeps what `keep` names.
pub(crate) struct Create {
    call: Call,
    keep: Keep,
    pool: Pool,
    left: usize,
}

/// Which part of a reply goes into the pool.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    /// The access token.
    AccessToken,
    /// The token's id.
    Id,
    /// Access token and refresh token, separated by a space.
    Pair,
}

impl Create {
    /// At most `limit` tokens of this kind, asked for with the administrator's token.
    pub(crate) fn new(admin_token: &str, kind: Kind, keep: Keep, pool: &Pool, limit: usize) -> Self {
        let (seconds, refreshable) = match kind {
            Kind::Plain => (600, false),
            Kind::Recorded => (31_536_000, false),
            Kind::Refreshable => (31_536_000, true),
        };
        let body = serde_json::json!({
            "username": "bench",
            "scope": "applied-permissions/groups:readers",
            "expires_in": seconds,
            "refreshable": refreshable,
        });
        let call = Call {
            method: Method::POST,
            path: TOKENS.to_owned(),
            bearer: Some(admin_token.to_owned()),
            body: Some((JSON, Bytes::from(body.to_string()))),
        };
        Self { call, keep, pool: pool.clone(), left: limit }
    }
}

impl Client for Create {
    fn next(&mut self) -> Option<Call> {
        self.left = self.left.checked_sub(1)?;
        Some(self.call.clone())
    }

    fn accept(&mut self, reply: &Reply) -> bool {
        let kept = match self.keep {
            Keep::AccessToken => text(reply, "access_token"),
            Keep::Id => text(reply, "token_id"),
            Keep::Pair => pair(reply),
        };
        let Some(kept) = kept.filter(|_| reply.status == StatusCode::OK) else { return false };
        self.pool.put(kept);
        true
    }
}

/// Verifies: every token of a pool once, or the same token again and again.
pub(crate) enum Verify {
    /// Each token is seen once.
    Each(Pool),
    /// The same one every time.
    Same(String),
}

impl Client for Verify {
    fn next(&mut self) -> Option<Call> {
        let token = match self {
            Self::Each(pool) => pool.take()?,
            Self::Same(token) => token.clone(),
        };
        Some(Call { method: Method::GET, path: VERIFY.to_owned(), bearer: Some(token), body: None })
    }

    fn accept(&mut self, reply: &Reply) -> bool {
        reply.status == StatusCode::OK
    }
}

/// Revokes the tokens of a pool, by id.
pub(crate) struct Revoke {
    /// The administrator's token.
    pub(crate) admin_token: String,
    /// Ids of tokens that are recorded, revocable, and not yet revoked.
    pub(crate) ids: Pool,
}

impl Client for Revoke {
    fn next(&mut self) -> Option<Call> {
        let id = self.ids.take()?;
        Some(Call {
            method: Method::DELETE,
            path: format!("{TOKENS}/{id}"),
            bearer: Some(self.admin_token.clone()),
            body: None,
        })
    }

    fn accept(&mut self, reply: &Reply) -> bool {
        reply.status == StatusCode::OK
    }
}

/// Refreshes one family again and again, each time with the pair that the last refresh returned.
pub(crate) struct Refresh {
    pair: Option<String>,
}

impl Refresh {
    /// Starts from a pair that `Keep::Pair` left.
    pub(crate) fn from(pair: String) -> Self {
        Self { pair: Some(pair) }
    }
}

impl Client for Refresh {
    fn next(&mut self) -> Option<Call> {
        let pair = self.pair.take()?;
        let (access, refresh) = pair.split_once(' ')?;
        let body = serde_json::json!({
            "grant_type": "refresh_token",
            "refresh_token": refresh,
            "access_token": access,
        });
        Some(Call {
            method: Method::POST,
            path: TOKENS.to_owned(),
            bearer: Some(access.to_owned()),
            body: Some((JSON, Bytes::from(body.to_string()))),
        })
    }

    fn accept(&mut self, reply: &Reply) -> bool {
        self.pair = pair(reply).filter(|_| reply.status == StatusCode::OK);
        self.pair.is_some()
    }
}

fn pair(reply: &Reply) -> Option<String> {
    Some(format!("{} {}", text(reply, "access_token")?, text(reply, "refresh_token")?))
}

/// The text under a key of a flat JSON object. A full parse would cost the machine more than the request does.
fn text(reply: &Reply, key: &str) -> Option<String> {
    let body = std::str::from_utf8(&reply.body).ok()?;
    let (_, rest) = body.split_once(&format!("\"{key}\""))?;
    let rest = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let (value, _) = rest.split_once('"')?;
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Reply, StatusCode, pair, text};

    #[test]
    fn finds_a_value_with_and_without_spaces() {
        let body =
            Bytes::from_static(b"{\"token_id\" : \"a\",\"access_token\":\"b.c.d\",\"refresh_token\":\"e\"}");
        let reply = Reply { status: StatusCode::OK, body, grpc_status: None };
        assert_eq!(text(&reply, "token_id").as_deref(), Some("a"));
        assert_eq!(pair(&reply).as_deref(), Some("b.c.d e"));
        assert_eq!(text(&reply, "reference_token"), None);
    }
}
