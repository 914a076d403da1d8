//! Users and groups, in both APIs.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const USERS: &str = "/artifactory/api/security/users";
const GROUPS: &str = "/artifactory/api/security/groups";

transcript_test!(legacy_people, async |t: &mut Transcript<'_>| {
    t.ask(
        Method::PUT,
        &format!("{GROUPS}/readers"),
        As::Admin,
        Body::Json(json!({"description": "read only"})),
    )
    .await;
    let user = json!({"name": "alice", "email": "alice@example.org", "password": "alice's own", "groups": ["readers"]});
    t.ask(Method::PUT, &format!("{USERS}/alice"), As::Admin, Body::Json(user)).await;
    t.ask(Method::GET, &format!("{USERS}/alice"), As::Admin, Body::Empty).await;
    t.ask(Method::GET, &format!("{USERS}/Alice"), As::Password("alice", "alice's own"), Body::Empty).await;
    t.ask(Method::POST, &format!("{USERS}/alice"), As::Admin, Body::Json(json!({"admin": "True"}))).await;
    t.ask(Method::GET, &format!("{GROUPS}/readers?includeUsers=True"), As::Admin, Body::Empty).await;
    t.note("names with slash, space and unicode");
    let user = json!({"email": "ops@example.org", "password": "p4ssword"});
    t.ask(Method::PUT, &format!("{USERS}/dev%2Fops%20%C3%BC"), As::Admin, Body::Json(user)).await;
    t.ask(
        Method::GET,
        &format!("{USERS}/dev%2Fops%20%C3%BC"),
        As::Password("dev/ops ü", "p4ssword"),
        Body::Empty,
    )
    .await;
    t.ask(Method::GET, USERS, As::Admin, Body::Empty).await;
    t.ask(Method::GET, GROUPS, As::Admin, Body::Empty).await;
    t.note("errors");
    t.ask(Method::GET, &format!("{USERS}/ghost"), As::Admin, Body::Empty).await;
    t.ask(Method::POST, &format!("{USERS}/ghost"), As::Admin, Body::Json(json!({"admin": true}))).await;
    t.ask(Method::DELETE, &format!("{USERS}/ghost"), As::Admin, Body::Empty).await;
    t.ask(Method::GET, &format!("{GROUPS}/ghosts"), As::Admin, Body::Empty).await;
    t.ask(Method::PUT, &format!("{USERS}/bob"), As::Admin, Body::Json(json!({"name": "carol"}))).await;
    t.ask(
        Method::PUT,
        &format!("{USERS}/bob"),
        As::Admin,
        Body::Json(json!({"email": "nonsense", "password": "p4ssword"})),
    )
    .await;
    t.ask(
        Method::PUT,
        &format!("{USERS}/bob"),
        As::Admin,
        Body::Json(json!({"email": "b@example.org", "password": "abc"})),
    )
    .await;
    t.ask(
        Method::POST,
        &format!("{GROUPS}/readers"),
        As::Admin,
        Body::Json(json!({"description": "who reads"})),
    )
    .await;
    t.ask(Method::PUT, &format!("{USERS}/bob"), As::Admin, Body::Json(json!({"groups": ["ghosts"]}))).await;
    t.ask(Method::DELETE, &format!("{USERS}/admin"), As::Nobody, Body::Empty).await;
    t.ask(Method::PUT, &format!("{GROUPS}/a%2Cb"), As::Admin, Body::Json(json!({}))).await;
    t.note("the last administrator stays");
    t.ask(Method::POST, &format!("{USERS}/alice"), As::Admin, Body::Json(json!({"admin": false}))).await;
    t.ask(Method::DELETE, &format!("{USERS}/admin"), As::Admin, Body::Empty).await;
    t.note("users change their own mail address and password, and nothing else");
    let alice = || As::Password("alice", "alice's own");
    t.ask(Method::POST, &format!("{USERS}/alice"), alice(), Body::Json(json!({"email": "new@example.org"})))
        .await;
    t.ask(Method::POST, &format!("{USERS}/alice"), alice(), Body::Json(json!({"admin": true}))).await;
    t.ask(Method::GET, USERS, alice(), Body::Empty).await;
    t.ask(Method::POST, &format!("{USERS}/alice"), alice(), Body::Json(json!({"password": "another"}))).await;
    t.ask(Method::GET, &format!("{USERS}/alice"), alice(), Body::Empty).await;
    t.ask(Method::DELETE, &format!("{USERS}/alice"), As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &format!("{GROUPS}/readers"), As::Admin, Body::Empty).await;
});

transcript_test!(access_people, async |t: &mut Transcript<'_>| {
    t.ask(
        Method::POST,
        "/access/api/v2/groups",
        As::Admin,
        Body::Json(json!({"name": "readers", "auto_join": true})),
    )
    .await;
    let user = json!({"username": "alice", "email": "alice@example.org", "password": "alice's own"});
    t.ask(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user.clone())).await;
    t.ask(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    t.ask(Method::GET, "/access/api/v2/users/alice", As::Admin, Body::Empty).await;
    t.ask(
        Method::PATCH,
        "/access/api/v2/users/alice",
        As::Admin,
        Body::Json(json!({"groups": [], "profile_updatable": false})),
    )
    .await;
    t.ask(Method::GET, "/access/api/v2/users?limit=1", As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/access/api/v2/users?limit=1&cursor=admin", As::Admin, Body::Empty).await;
    t.ask(
        Method::PATCH,
        "/access/api/v2/groups/readers",
        As::Admin,
        Body::Json(json!({"members": ["alice"]})),
    )
    .await;
    t.ask(Method::GET, "/access/api/v2/groups/readers", As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/access/api/v2/groups", As::Admin, Body::Empty).await;
    t.note("errors");
    t.ask(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(json!({"email": "x@example.org"})))
        .await;
    t.ask(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(json!({"name": "readers"}))).await;
    t.ask(Method::PATCH, "/access/api/v2/users/alice", As::Admin, Body::Json(json!({"status": "gone"})))
        .await;
    t.ask(Method::PATCH, "/access/api/v2/users/ghost", As::Admin, Body::Json(json!({"admin": true}))).await;
    t.ask(Method::GET, "/access/api/v2/users?limit=0", As::Admin, Body::Empty).await;
    t.ask(Method::GET, "/access/api/v2/users", As::Password("alice", "alice's own"), Body::Empty).await;
    t.ask(Method::DELETE, "/access/api/v2/users/alice", As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, "/access/api/v2/users/alice", As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, "/access/api/v2/groups/readers", As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, "/access/api/v2/groups/readers", As::Admin, Body::Empty).await;
});
