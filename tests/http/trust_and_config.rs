//! The circle of trust and the configuration.

use reqwest::Method;
use serde_json::json;

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const TRUST: &str = "/circlet/v1/trust";
const CONFIG: &str = "/circlet/v1/config";
const VERIFY: &str = "/circlet/v1/verify";

transcript_test!(trust, async |t: &mut Transcript<'_>| {
    let other = Server::start();
    t.name(&other.service_id, "other-service-id");
    let there = Transcript::of(&other);
    let body = json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 600});
    let token = there
        .quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Json(body))
        .await
        .field("access_token");
    t.name(&token, "their-token");
    let body = json!({"username": "robot", "scope": "applied-permissions/admin", "expires_in": 600});
    let admin = there
        .quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Json(body))
        .await
        .field("access_token");
    t.name(&admin, "their-admin-token");
    let body = json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 0});
    let lasting = there
        .quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Json(body))
        .await
        .field("access_token");
    t.name(&lasting, "their-lasting-token");
    t.quietly(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(json!({"name": "readers"}))).await;
    let pem = other.root_certificate();
    let facts = circlet_token::read_certificate(pem.as_bytes()).unwrap();
    t.name(facts.key_id.as_str(), "their-kid");
    t.note("unknown before, accepted after the certificate is trusted");
    t.ask(Method::GET, VERIFY, As::Bearer(token.clone()), Body::Empty).await;
    t.name(&serde_json::to_string(&pem).unwrap(), "pem");
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(json!({"name": "other", "certificate": pem}))).await;
    t.ask(Method::GET, VERIFY, As::Bearer(token.clone()), Body::Empty).await;
    t.note("admin is stripped, what is revocable there is not known here, and nothing may be done with it");
    t.ask(Method::GET, VERIFY, As::Bearer(admin.clone()), Body::Empty).await;
    t.ask(Method::GET, VERIFY, As::Bearer(lasting), Body::Empty).await;
    t.ask(Method::POST, "/access/api/v1/tokens", As::Bearer(admin.clone()), Body::Empty).await;
    t.ask(Method::GET, "/access/api/v1/tokens", As::Bearer(admin.clone()), Body::Empty).await;
    t.ask(Method::DELETE, "/access/api/v1/tokens/revoke", As::Admin, Body::Form(format!("token={token}")))
        .await;
    t.note("even where their administrators are ours, tokens are none of their business");
    let limits = json!({"certificate": pem, "name": "other", "limits": {"admin": true}});
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(limits)).await;
    t.ask(Method::GET, VERIFY, As::Bearer(admin.clone()), Body::Empty).await;
    t.ask(Method::GET, "/access/api/v1/tokens", As::Bearer(admin), Body::Empty).await;
    t.note("limits");
    let limits = json!({"certificate": pem, "name": "other", "limits": {"groups": [], "max_lifetime": 60}});
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(limits)).await;
    t.ask(Method::GET, VERIFY, As::Bearer(token.clone()), Body::Empty).await;
    t.ask(Method::GET, TRUST, As::Admin, Body::Empty).await;
    t.ask(Method::GET, &format!("{TRUST}/other"), As::Admin, Body::Empty).await;
    t.note("changed one by one: their groups stand for ours, and what is meant for anybody is refused");
    let issuer = format!("{TRUST}/other");
    t.quietly(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(json!({"name": "ours"}))).await;
    let change = json!({"limits": {"groups": {"readers": "ours"}, "max_lifetime": null}});
    t.ask(Method::PATCH, &issuer, As::Admin, Body::Json(change)).await;
    t.ask(Method::GET, VERIFY, As::Bearer(token.clone()), Body::Empty).await;
    let change = json!({"limits": {"audiences": ["jfrt@*"]}});
    t.ask(Method::PATCH, &issuer, As::Admin, Body::Json(change)).await;
    t.ask(Method::GET, VERIFY, As::Bearer(token.clone()), Body::Empty).await;
    t.ask(Method::PATCH, &issuer, As::Admin, Body::Json(json!({"limits": {"audience": []}}))).await;
    t.ask(Method::PATCH, &issuer, As::Admin, Body::Json(json!({}))).await;
    t.ask(
        Method::PATCH,
        &format!("{TRUST}/nobody"),
        As::Admin,
        Body::Json(json!({"limits": {"admin": true}})),
    )
    .await;
    t.ask(Method::PATCH, &issuer, As::Nobody, Body::Json(json!({"limits": {"admin": true}}))).await;
    t.note("distrusted by name");
    t.ask(Method::DELETE, &format!("{TRUST}/other"), As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &format!("{TRUST}/other"), As::Admin, Body::Empty).await;
    t.ask(Method::GET, VERIFY, As::Bearer(token), Body::Empty).await;
    t.note("errors");
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(json!({}))).await;
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(json!({"certificate": "nonsense"}))).await;
    t.ask(
        Method::POST,
        TRUST,
        As::Admin,
        Body::Json(json!({"certificate": pem, "name": "../../etc/passwd"})),
    )
    .await;
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(json!({"certificate": pem, "limits": {"admn": true}})))
        .await;
    let own = t.server.root_certificate();
    t.name(&serde_json::to_string(&own).unwrap(), "own-pem");
    let own_facts = circlet_token::read_certificate(own.as_bytes()).unwrap();
    t.name(own_facts.key_id.as_str(), "own-kid");
    t.ask(Method::POST, TRUST, As::Admin, Body::Json(json!({"certificate": own}))).await;
    t.ask(Method::GET, TRUST, As::Nobody, Body::Empty).await;
});

transcript_test!(config, async |t: &mut Transcript<'_>| {
    t.ask(Method::GET, CONFIG, As::Admin, Body::Empty).await;
    t.ask(Method::GET, &format!("{CONFIG}/token.default-expiry"), As::Admin, Body::Empty).await;
    t.ask(
        Method::PUT,
        &format!("{CONFIG}/token.default-expiry"),
        As::Admin,
        Body::Json(json!({"value": 60})),
    )
    .await;
    t.ask(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &format!("{CONFIG}/token.default-expiry"), As::Admin, Body::Empty).await;
    t.note("several at once, and only on the version that was read");
    let body = json!({"minimum-revocable-expiry": 600, "token.allow-refreshable": "false", "if_version": 0});
    let answer = t.ask(Method::PATCH, CONFIG, As::Admin, Body::Json(body)).await;
    assert_eq!(answer.status.as_u16(), 409);
    let body = json!({"minimum-revocable-expiry": 600, "token.allow-refreshable": "false"});
    t.ask(Method::PATCH, CONFIG, As::Admin, Body::Json(body)).await;
    t.ask(Method::GET, &format!("{CONFIG}/token.minimum-revocable-expiry"), As::Admin, Body::Empty).await;
    t.note("errors");
    t.ask(Method::GET, &format!("{CONFIG}/token.default-expriy"), As::Admin, Body::Empty).await;
    t.ask(
        Method::PUT,
        &format!("{CONFIG}/token.default-expiry"),
        As::Admin,
        Body::Json(json!({"value": "soon"})),
    )
    .await;
    t.ask(
        Method::PUT,
        &format!("{CONFIG}/verify.max-staleness-ms"),
        As::Admin,
        Body::Json(json!({"value": 100})),
    )
    .await;
    t.ask(Method::PUT, &format!("{CONFIG}/token.default-expiry"), As::Admin, Body::Json(json!({"valu": 1})))
        .await;
    t.ask(Method::PATCH, CONFIG, As::Admin, Body::Json(json!({}))).await;
    t.note("who changed what");
    t.ask(Method::GET, &format!("{CONFIG}/history"), As::Admin, Body::Empty).await;
    t.ask(Method::GET, CONFIG, As::Nobody, Body::Empty).await;
    let user = json!({"username": "alice", "email": "alice@example.org", "password": "alice's own"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    t.ask(Method::GET, CONFIG, As::Password("alice", "alice's own"), Body::Empty).await;
});
