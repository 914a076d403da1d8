//! Verification for proxies.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const VERIFY: &str = "/circlet/v1/verify";
const TOKENS: &str = "/access/api/v1/tokens";

transcript_test!(verify, async |t: &mut Transcript<'_>| {
    t.ask(Method::GET, VERIFY, As::Nobody, Body::Empty).await;
    t.ask(Method::GET, VERIFY, As::Admin, Body::Empty).await;
    for (group, admin) in
        [("readers", false), ("two words, ü".trim_end_matches(", ü"), false), ("wheel", true)]
    {
        let body = json!({"name": group, "admin_privileges": admin});
        t.quietly(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(body)).await;
    }
    let user = json!({"username": "ünï cødé", "email": "u@example.org", "password": "u's own", "groups": ["readers", "two words"]});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    for (name, body) in [
        ("user-token", json!({"username": "ünï cødé", "expires_in": 600})),
        (
            "group-token",
            json!({"username": "robot", "scope": "applied-permissions/groups:readers,ghosts", "expires_in": 600}),
        ),
        (
            "admin-token",
            json!({"username": "robot", "scope": "applied-permissions/admin", "expires_in": 600}),
        ),
        (
            "admin-group-token",
            json!({"username": "robot", "scope": "applied-permissions/groups:wheel", "expires_in": 600}),
        ),
        (
            "revocable-token",
            json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 0}),
        ),
        (
            "other-audience",
            json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 600, "audience": "jfxr@01xray"}),
        ),
    ] {
        let answer = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
        if let Some(warning) = answer.headers.get("x-circlet-warning") {
            t.note(&format!("warning: {}", warning.to_str().unwrap()));
        }
        let token = answer.field("access_token");
        t.name(&token, name);
        t.ask(Method::GET, VERIFY, As::Bearer(token.clone()), Body::Empty).await;
        if name == "other-audience" {
            t.note("the service that it is for may ask here");
            t.ask(
                Method::GET,
                &format!("{VERIFY}?audience=jfxr@01xray"),
                As::Bearer(token.clone()),
                Body::Empty,
            )
            .await;
            t.ask(
                Method::GET,
                &format!("{VERIFY}?audience=nonsense"),
                As::Bearer(token.clone()),
                Body::Empty,
            )
            .await;
            t.note("asking about itself needs no audience");
            t.ask(Method::GET, "/access/api/v1/tokens/me", As::Bearer(token), Body::Empty).await;
        }
    }
});

#[tokio::test]
async fn a_revoked_token_is_refused_at_once_on_the_node_that_answered() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let body = json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 0});
    let token = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    let bearer = || As::Bearer(token.field("access_token"));
    for _ in 0..3 {
        // Seen again, so remembered.
        assert_eq!(t.quietly(Method::GET, VERIFY, bearer(), Body::Empty).await.status.as_u16(), 200);
    }
    let id = token.field("token_id");
    t.quietly(Method::DELETE, &format!("{TOKENS}/{id}"), As::Admin, Body::Empty).await;
    let refused = t.quietly(Method::GET, VERIFY, bearer(), Body::Empty).await;
    assert_eq!(refused.status.as_u16(), 401);
    assert_eq!(refused.json()["errors"][0]["reason"], "revoked");
}
