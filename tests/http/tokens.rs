//! The Access API's tokens.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const TOKENS: &str = "/access/api/v1/tokens";

transcript_test!(access_create, async |t: &mut Transcript<'_>| {
    t.note("an empty body is all defaults: a token for the caller");
    t.ask_with(Method::POST, TOKENS, As::Admin, Body::Empty, &[("content-type", "application/json")]).await;
    t.note("form and JSON, booleans and numbers as text");
    let form = "username=bob&scope=applied-permissions%2Fgroups%3Areaders&expires_in=3600&refreshable=False";
    t.ask(Method::POST, TOKENS, As::Admin, Body::Form(form.to_owned())).await;
    let body = json!({"username": "bob", "scope": "applied-permissions/groups:readers", "expires_in": "3600",
        "refreshable": "true", "include_reference_token": "True", "description": "for CI", "audience": "jfrt@*"});
    t.ask(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    t.note("0 never expires; the answer has no expires_in");
    let body = json!({"username": "bob", "scope": "system:metrics:r", "expires_in": 0});
    t.ask(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    t.note("force_revocable makes a short token recorded and revocable, from a form as well");
    let form = "username=bob&scope=applied-permissions/groups:readers&expires_in=60&force_revocable=true";
    t.ask(Method::POST, TOKENS, As::Admin, Body::Form(form.to_owned())).await;
    t.note("the aliases lead here too");
    for path in ["/artifactory/access/api/v1/tokens", "/artifactory/api/access/api/v1/tokens/"] {
        t.ask(Method::POST, path, As::Admin, Body::Form("expires_in=60".to_owned())).await;
    }
});

transcript_test!(access_create_refused, async |t: &mut Transcript<'_>| {
    t.ask(Method::POST, TOKENS, As::Nobody, Body::Empty).await;
    for body in [
        json!({"expires_in": -5}),
        json!({"expires_in": "soon"}),
        json!({"refreshable": "maybe"}),
        json!({"username": "no:colon", "scope": "applied-permissions/groups:readers"}),
        json!({"username": "ghost"}),
        json!({"scope": "applied-permissions/adm1n"}),
        json!({"audience": "somewhere"}),
        json!({"description": "x".repeat(1025)}),
        json!({"grant_type": "password"}),
        json!({"grant_type": "refresh_token"}),
        json!({"username": "jfrt@01other/users/bob", "scope": "applied-permissions/groups:readers"}),
    ] {
        let answer = t.ask(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
        assert!(answer.status.is_client_error());
    }
    t.note("users may have no more than they have");
    let user = json!({"username": "alice", "email": "alice@example.org", "password": "alice's own"});
    t.ask(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    let alice = || As::Password("alice", "alice's own");
    for body in [
        json!({"username": "bob"}),
        json!({"scope": "applied-permissions/admin"}),
        json!({"scope": "applied-permissions/groups:readers"}),
    ] {
        let answer = t.ask(Method::POST, TOKENS, alice(), Body::Json(body)).await;
        assert_eq!(answer.status.as_u16(), 403);
    }
    t.ask(Method::POST, TOKENS, alice(), Body::Json(json!({"expires_in": 60}))).await;
});

transcript_test!(access_refresh, async |t: &mut Transcript<'_>| {
    let body = json!({"username": "bob", "scope": "applied-permissions/groups:readers", "expires_in": 30000, "refreshable": true});
    let first = t.ask(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    let (access, refresh) = (first.field("access_token"), first.field("refresh_token"));
    t.name(&access, "access-1");
    t.name(&refresh, "refresh-1");
    t.note("the command line sends the old token as bearer and in the body");
    let body = json!({"grant_type": "refresh_token", "access_token": access, "refresh_token": refresh, "refreshable": true});
    let second = t.ask(Method::POST, TOKENS, As::Bearer(access.clone()), Body::Json(body.clone())).await;
    assert_ne!(second.field("access_token"), access);
    assert_ne!(second.field("refresh_token"), refresh);
    assert_eq!(second.json()["expires_in"], 30000);
    t.note("the same again gives the same bytes");
    let again = t.quietly(Method::POST, TOKENS, As::Bearer(access.clone()), Body::Json(body)).await;
    assert_eq!(again.text, second.text);
    t.note("the old token is refused; the plugin's form of refresh works with the new one");
    t.ask(Method::GET, "/access/api/v1/tokens/me", As::Bearer(access), Body::Empty).await;
    let (access, refresh) = (second.field("access_token"), second.field("refresh_token"));
    t.name(&access, "access-2");
    t.name(&refresh, "refresh-2");
    let body = json!({"grant_type": "refresh_token", "expires_in": 0, "refresh_token": refresh});
    let third = t.ask(Method::POST, TOKENS, As::Bearer(access.clone()), Body::Json(body)).await;
    assert_eq!(third.json()["expires_in"], 30000, "0 means as before");
    t.note("a used refresh token with other parameters is refused, and so is nonsense");
    let body = json!({"grant_type": "refresh_token", "refresh_token": refresh, "access_token": access, "include_reference_token": true});
    t.ask(Method::POST, TOKENS, As::Nobody, Body::Json(body)).await;
    let body = json!({"grant_type": "refresh_token", "refresh_token": "nonsense", "access_token": access});
    t.ask(Method::POST, TOKENS, As::Nobody, Body::Json(body)).await;
    t.note("a refresh token alone is no credential");
    let body = json!({"grant_type": "refresh_token", "refresh_token": third.field("refresh_token")});
    let refresh = third.field("refresh_token");
    t.name(&refresh, "refresh-3");
    t.ask(Method::POST, TOKENS, As::Nobody, Body::Json(body.clone())).await;
    t.note("an administrator may refresh without the access token, and change the scope");
    let body = json!({"grant_type": "refresh_token", "refresh_token": refresh, "scope": "applied-permissions/groups:writers"});
    t.ask(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
});

transcript_test!(access_refresh_of_an_expired_token, async |t: &mut Transcript<'_>| {
    let body = json!({"username": "bob", "scope": "applied-permissions/groups:readers", "expires_in": 1, "refreshable": true});
    let first = t.ask(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    let (access, refresh) = (first.field("access_token"), first.field("refresh_token"));
    t.name(&access, "access-1");
    t.name(&refresh, "refresh-1");
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while t
        .quietly(Method::GET, "/access/api/v1/tokens/me", As::Bearer(access.clone()), Body::Empty)
        .await
        .status
        == 200
    {
        assert!(std::time::Instant::now() < deadline, "the token does not expire");
        tokio::task::yield_now().await;
    }
    t.ask(Method::GET, "/access/api/v1/tokens/me", As::Bearer(access.clone()), Body::Empty).await;
    t.ask(Method::GET, "/artifactory/api/system/version", As::Bearer(access.clone()), Body::Empty).await;
    let body = json!({"grant_type": "refresh_token", "refresh_token": refresh});
    t.ask(Method::POST, TOKENS, As::Bearer(access), Body::Json(body)).await;
});

transcript_test!(access_revoke, async |t: &mut Transcript<'_>| {
    let body = json!({"username": "bob", "scope": "applied-permissions/groups:readers", "refreshable": true});
    let token = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body.clone())).await;
    let (id, access) = (token.field("token_id"), token.field("access_token"));
    t.name(&id, "id-1");
    t.name(&access, "access-1");
    let one = format!("{TOKENS}/{id}");
    t.note("by id: 200, then 204");
    t.ask(Method::GET, &one, As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &one, As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &one, As::Admin, Body::Empty).await;
    t.ask(Method::GET, &one, As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/access/api/v1/tokens/me", As::Bearer(access), Body::Empty).await;
    t.note("its refresh token ended with it");
    let pair = json!({"grant_type": "refresh_token", "refresh_token": token.field("refresh_token"), "access_token": token.field("access_token")});
    let refused = t.quietly(Method::POST, TOKENS, As::Nobody, Body::Json(pair)).await;
    assert_eq!(refused.status.as_u16(), 404, "{}", refused.text);
    t.note("by value, as form and as JSON; a token may end itself");
    let token =
        t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body.clone())).await.field("access_token");
    t.name(&token, "access-2");
    t.ask(Method::DELETE, "/access/api/v1/tokens/revoke", As::Admin, Body::Form(format!("token={token}")))
        .await;
    let token =
        t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body.clone())).await.field("access_token");
    t.name(&token, "access-3");
    t.ask(Method::DELETE, "/access/api/v1/tokens/revoke", As::Admin, Body::Json(json!({"token": token})))
        .await;
    let token = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await.field("access_token");
    t.name(&token, "access-4");
    t.ask(Method::DELETE, "/access/api/v1/tokens/me", As::Bearer(token), Body::Empty).await;
    t.note("what can't be revoked is refused, never reported as done");
    let plain = json!({"username": "bob", "scope": "applied-permissions/groups:readers", "expires_in": 60});
    let plain = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(plain)).await;
    let token = plain.field("access_token");
    t.name(&token, "plain");
    t.name(&plain.field("token_id"), "plain-id");
    let refused = t
        .ask(Method::DELETE, "/access/api/v1/tokens/revoke", As::Admin, Body::Form(format!("token={token}")))
        .await;
    assert!(refused.text.contains("Token not revocable"));
    t.note("unknown and malformed ids; no mass delete");
    t.ask(Method::DELETE, &format!("{TOKENS}/6b1c8d8e-0f5a-4c6e-9a57-1d2f3e4a5b6c"), As::Admin, Body::Empty)
        .await;
    t.ask(Method::DELETE, &format!("{TOKENS}/nonsense"), As::Admin, Body::Empty).await;
    t.ask(
        Method::DELETE,
        "/access/api/v1/tokens/revoke",
        As::Admin,
        Body::Form("token=faketoken".to_owned()),
    )
    .await;
    t.ask(Method::DELETE, &format!("{TOKENS}/"), As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, TOKENS, As::Admin, Body::Empty).await;
});

transcript_test!(access_list, async |t: &mut Transcript<'_>| {
    for (user, description) in [("bob", "nightly build"), ("carol", "nightly tests"), ("bob", "release")] {
        let body = json!({"username": user, "scope": "applied-permissions/groups:readers", "description": description});
        t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    }
    t.ask(Method::GET, TOKENS, As::Nobody, Body::Empty).await;
    for query in [
        "",
        "?username=bob&order_by=created&descending_order=true",
        "?description=nightly*",
        "?refreshable=true",
        "?username=nobody",
        "?order_by=colour",
        "?limit=0",
        "?token_id=nonsense",
    ] {
        t.ask(Method::GET, &format!("{TOKENS}{query}"), As::Admin, Body::Empty).await;
    }
    t.note("page by page");
    let first = t.quietly(Method::GET, &format!("{TOKENS}?limit=2"), As::Admin, Body::Empty).await.json();
    let cursor = first["cursor"].as_str().unwrap();
    let rest = t
        .quietly(Method::GET, &format!("{TOKENS}?limit=2&cursor={cursor}"), As::Admin, Body::Empty)
        .await
        .json();
    assert_eq!((first["tokens"].as_array().unwrap().len(), rest["tokens"].as_array().unwrap().len()), (2, 1));
    assert!(rest.get("cursor").is_none());
    t.note("users see their own");
    let user = json!({"username": "alice", "email": "alice@example.org", "password": "alice's own"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    let alice = || As::Password("alice", "alice's own");
    t.quietly(Method::POST, TOKENS, alice(), Body::Empty).await;
    t.ask(Method::GET, TOKENS, alice(), Body::Empty).await;
    t.ask(Method::GET, &format!("{TOKENS}?username=bob"), alice(), Body::Empty).await;
});

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_token() {
    let server = crate::server::Server::start();
    let mut t = Transcript::of(&server);
    let body = json!({"username": "bob", "scope": "applied-permissions/groups:readers", "expires_in": 60, "refreshable": true});
    let key = [("idempotency-key", "build-17")];
    let first = t.ask_with(Method::POST, TOKENS, As::Admin, Body::Json(body.clone()), &key).await;
    let again = t.ask_with(Method::POST, TOKENS, As::Admin, Body::Json(body.clone()), &key).await;
    assert_eq!(first.text, again.text);
    let other = t.ask_with(Method::POST, TOKENS, As::Admin, Body::Json(json!({})), &key).await;
    assert_eq!(other.status.as_u16(), 409, "{}", other.text);
    let another = t
        .ask_with(Method::POST, TOKENS, As::Admin, Body::Json(body), &[("idempotency-key", "build-18")])
        .await;
    assert_ne!(first.field("access_token"), another.field("access_token"));
}
