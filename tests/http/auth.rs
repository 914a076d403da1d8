//! Who gets in, and what is said to who doesn't.

use reqwest::Method;
use serde_json::json;

use crate::legacy::foreign_token;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const PING: &str = "/artifactory/api/system/ping";
const TOKENS: &str = "/access/api/v1/tokens";

transcript_test!(credentials, async |t: &mut Transcript<'_>| {
    t.note("the legacy ping: anonymous is fine, a bad credential is not");
    t.ask(Method::GET, PING, As::Nobody, Body::Empty).await;
    t.ask(Method::GET, PING, As::Admin, Body::Empty).await;
    t.ask(Method::GET, PING, As::Password("admin", "wrong"), Body::Empty).await;
    t.ask(Method::GET, PING, As::Password("nobody", "wrong"), Body::Empty).await;
    t.ask(Method::GET, PING, As::Password("ADMIN", crate::server::PASSWORD), Body::Empty).await;
    t.note("a token: as bearer, as password with the matching name, as key");
    let body = json!({"username": "dev/ops", "scope": "applied-permissions/groups:readers", "expires_in": 600, "include_reference_token": true});
    let token = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    let (jwt, reference) = (token.field("access_token"), token.field("reference_token"));
    t.name(&jwt, "token");
    t.name(&reference, "reference");
    for who in [
        As::Bearer(jwt.clone()),
        As::Bearer(reference.clone()),
        As::TokenAsPassword("dev/ops", jwt.clone()),
        As::TokenAsPassword("Dev/Ops", reference.clone()),
        As::ApiKey(reference.clone()),
    ] {
        let answer = t.ask(Method::GET, PING, who, Body::Empty).await;
        assert_eq!(answer.text, "OK");
    }
    t.note("refused tokens");
    let altered = format!("{}AAAA", jwt.get(..jwt.len() - 4).unwrap());
    t.name(&altered, "altered");
    let unknown =
        format!("{}{}", reference.get(..63).unwrap(), if reference.ends_with('x') { 'y' } else { 'x' });
    t.name(&unknown, "unknown-reference");
    let foreign = foreign_token();
    t.name(&foreign, "foreign");
    for path in [PING, "/access/api/v1/tokens/me", "/circlet/v1/verify"] {
        t.ask(Method::GET, path, As::TokenAsPassword("bob", jwt.clone()), Body::Empty).await;
        t.ask(Method::GET, path, As::Bearer("nonsense".to_owned()), Body::Empty).await;
        t.ask(Method::GET, path, As::Bearer(altered.clone()), Body::Empty).await;
        t.ask(Method::GET, path, As::Bearer(unknown.clone()), Body::Empty).await;
        t.ask(Method::GET, path, As::Bearer(foreign.clone()), Body::Empty).await;
        t.ask(Method::GET, path, As::ApiKey(unknown.clone()), Body::Empty).await;
    }
    t.note("unreadable credentials are not nobody");
    for value in ["Digest x", "Basic !!", "Basic YWxpY2U="] {
        t.ask_with(Method::GET, PING, As::Nobody, Body::Empty, &[("authorization", value)]).await;
    }
});

transcript_test!(users_who_may_not, async |t: &mut Transcript<'_>| {
    let user = json!({"username": "alice", "email": "alice@example.org", "password": "alice's own"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    let alice = || As::Password("alice", "alice's own");
    let token = t.quietly(Method::POST, TOKENS, alice(), Body::Empty).await.field("access_token");
    t.name(&token, "token");
    t.ask(Method::GET, PING, alice(), Body::Empty).await;
    t.ask(Method::GET, PING, As::Bearer(token.clone()), Body::Empty).await;
    t.note("a disabled user: 403 for who knows the password, the token is refused");
    t.ask(Method::PATCH, "/access/api/v2/users/alice", As::Admin, Body::Json(json!({"status": "disabled"})))
        .await;
    t.ask(Method::GET, PING, alice(), Body::Empty).await;
    t.ask(Method::GET, PING, As::Password("alice", "wrong"), Body::Empty).await;
    t.ask(Method::GET, PING, As::Bearer(token.clone()), Body::Empty).await;
    t.ask(Method::PATCH, "/access/api/v2/users/alice", As::Admin, Body::Json(json!({"status": "enabled"})))
        .await;
    t.ask(Method::GET, PING, As::Bearer(token.clone()), Body::Empty).await;
    t.note("a deleted and re-created user doesn't inherit tokens");
    t.ask(Method::DELETE, "/access/api/v2/users/alice", As::Admin, Body::Empty).await;
    let user = json!({"username": "alice", "email": "alice@example.org", "password": "alice's own"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    t.ask(Method::GET, PING, As::Bearer(token), Body::Empty).await;
    t.note("without token.allow-basic-auth the Access API takes no passwords");
    t.ask(
        Method::PUT,
        "/circlet/v1/config/token.allow-basic-auth",
        As::Admin,
        Body::Json(json!({"value": false})),
    )
    .await;
    t.ask(Method::POST, TOKENS, alice(), Body::Empty).await;
    t.ask(Method::POST, "/api/security/token", alice(), Body::Form("username=alice".to_owned())).await;
});
