//! What clients do with tokens, in the words of both generations of the API.

use serde_json::json;

use super::http::{Answer, Auth, Body, Endpoint};

pub(crate) const TOKENS: &str = "/access/api/v1/tokens";
pub(crate) const LEGACY: &str = "/artifactory/api/security/token";

/// Ten minutes: signed by the node that is asked, without the log.
pub(crate) const PLAIN_SECS: u64 = 600;
/// A year: recorded and revocable.
pub(crate) const LONG_SECS: u64 = 31_536_000;

/// An access token with the refresh token that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Pair {
    #[track_caller]
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        Self {
            id: answer.member("token_id"),
            access: answer.member("access_token"),
            refresh: answer.member("refresh_token"),
        }
    }
}

/// Asks for a token of the group `readers`, for a user without an account.
pub(crate) async fn create(node: &Endpoint, admin: &str, seconds: u64, refreshable: bool) -> Answer {
    node.post(TOKENS, Auth::Token(admin), Body::Json(create_body(seconds, refreshable))).await
}

pub(crate) fn create_body(seconds: u64, refreshable: bool) -> serde_json::Value {
    json!({
        "username": "robot",
        "scope": "applied-permissions/groups:readers",
        "expires_in": seconds,
        "refreshable": refreshable,
    })
}

/// Asks for the successor of a pair, the way the legacy clients do: the pair is the credential.
pub(crate) async fn refresh(node: &Endpoint, pair: &Pair) -> Answer {
    node.post(LEGACY, Auth::Nobody, Body::Form(&refresh_form(pair))).await
}

/// The same, asked once.
pub(crate) async fn refresh_once(node: &Endpoint, pair: &Pair) -> Result<Answer, String> {
    node.send(reqwest::Method::POST, LEGACY, Auth::Nobody, Body::Form(&refresh_form(pair))).await
}

fn refresh_form(pair: &Pair) -> [(&str, &str); 3] {
    [("grant_type", "refresh_token"), ("refresh_token", &pair.refresh), ("access_token", &pair.access)]
}

/// The new pair that a legacy refresh answered with; its id is in the token.
#[track_caller]
pub(crate) fn refreshed(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    (answer.member("access_token"), answer.member("refresh_token"))
}

/// Revokes by id.
pub(crate) async fn revoke(node: &Endpoint, admin: &str, id: &str) -> Answer {
    node.ask(reqwest::Method::DELETE, &format!("{TOKENS}/{id}"), Auth::Token(admin), Body::Empty).await
}

/// The same, asked once.
pub(crate) async fn revoke_once(node: &Endpoint, admin: &str, id: &str) -> Result<Answer, String> {
    node.send(reqwest::Method::DELETE, &format!("{TOKENS}/{id}"), Auth::Token(admin), Body::Empty).await
}
