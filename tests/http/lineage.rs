//! Tokens that were created with tokens, and what becomes of them when those are revoked.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{Answer, As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";

async fn create(t: &Transcript<'_>, who: As, secs: u64) -> Answer {
    let body = json!({"expires_in": secs});
    let made = t.quietly(Method::POST, TOKENS, who, Body::Json(body)).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made
}

/// A root, a child of it, and a grandchild.
async fn family(t: &Transcript<'_>) -> [Answer; 3] {
    let root = create(t, As::Admin, 0).await;
    let child = create(t, As::Bearer(root.field("access_token")), 0).await;
    let grandchild = create(t, As::Bearer(child.field("access_token")), 0).await;
    [root, child, grandchild]
}

async fn status(t: &Transcript<'_>, token: &Answer) -> u16 {
    let who = As::Bearer(token.field("access_token"));
    t.quietly(Method::GET, &format!("{TOKENS}/me"), who, Body::Empty).await.status.as_u16()
}

#[tokio::test]
async fn a_child_outlives_its_parent_unless_the_revoke_cascades() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let [root, child, grandchild] = family(&t).await;
    let path = format!("{TOKENS}/{}", root.field("token_id"));
    let alone = t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await;
    assert!(alone.json().get("descendants").is_none(), "{}", alone.text);
    assert_eq!(
        [status(&t, &root).await, status(&t, &child).await, status(&t, &grandchild).await],
        [401, 200, 200]
    );
    let shown = t
        .quietly(Method::GET, &format!("{TOKENS}?parent={}", root.field("token_id")), As::Admin, Body::Empty)
        .await;
    let shown = shown.json();
    assert_eq!(shown["tokens"].as_array().unwrap().len(), 1, "{shown}");
    assert_eq!(shown["tokens"][0]["parent"], root.field("token_id"));
    // What is revoked already can still take its descendants along, and then there is nothing left to do.
    let cascade = format!("{path}?cascade=true");
    let later = t.quietly(Method::DELETE, &cascade, As::Admin, Body::Empty).await;
    assert_eq!((later.status.as_u16(), &later.json()["descendants"]["ended"]), (200, &json!(2)));
    assert_eq!([status(&t, &child).await, status(&t, &grandchild).await], [401, 401]);
    assert_eq!(t.quietly(Method::DELETE, &cascade, As::Admin, Body::Empty).await.status, 204);
}

#[tokio::test]
async fn every_way_of_revoking_can_cascade() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let legacy = "/artifactory/api/security/token/revoke";
    let itself = format!("{TOKENS}/me?cascade=true");
    for way in ["value", "value, older API", "id, older API", "itself"] {
        let [root, child, grandchild] = family(&t).await;
        let (id, value) = (root.field("token_id"), root.field("access_token"));
        let answer = match way {
            "value" => {
                let body = Body::Json(json!({"token": value, "cascade": true}));
                t.quietly(Method::DELETE, &format!("{TOKENS}/revoke"), As::Admin, body).await
            }
            "value, older API" => {
                let form = Body::Form(format!("token={value}&cascade=true"));
                t.quietly(Method::POST, legacy, As::Admin, form).await
            }
            "id, older API" => {
                let form = Body::Form(format!("token_id={id}&cascade=true"));
                t.quietly(Method::POST, legacy, As::Admin, form).await
            }
            _ => t.quietly(Method::DELETE, &itself, As::Bearer(value), Body::Empty).await,
        };
        assert_eq!(answer.status, 200, "{way}: {}", answer.text);
        let found = [status(&t, &root).await, status(&t, &child).await, status(&t, &grandchild).await];
        assert_eq!(found, [401, 401, 401], "{way}");
    }
}

#[tokio::test]
async fn what_cannot_be_revoked_is_said_to_live_on() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let root = create(&t, As::Admin, 0).await;
    let body = json!({"expires_in": 12_000});
    let short =
        t.quietly(Method::POST, TOKENS, As::Bearer(root.field("access_token")), Body::Json(body)).await;
    assert_eq!(short.json()["revocable"], false);
    let path = format!("{TOKENS}/{}?cascade=true", root.field("token_id"));
    let answer = t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await;
    assert_eq!(answer.json()["descendants"], json!({"ended": 0, "living": 1}), "{}", answer.text);
    assert!(answer.field("note").contains("live to their expiry"), "{}", answer.text);
    assert_eq!([status(&t, &root).await, status(&t, &short).await], [401, 200]);
}
