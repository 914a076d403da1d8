//! Which paths mean the same.

use reqwest::Method;
use serde_json::json;

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

#[tokio::test]
async fn every_alias_leads_to_the_same_endpoint() {
    let server = Server::start();
    let t = Transcript::of(&server);
    for path in [
        "/access/api/v1/tokens",
        "/access/api/v1/tokens/",
        "//access/api/v1/tokens",
        "/access//api/v1/tokens",
        "/api/access/api/v1/tokens",
        "/artifactory/api/access/api/v1/tokens",
        "/artifactory/access/api/v1/tokens",
        "/artifactory/access/api/v1/tokens/",
        "/artifactory/api/security/token",
        "/artifactory/security/token",
        "/api/security/token",
        "/api/security/token/?consistency=strong",
    ] {
        let answer = t.quietly(Method::GET, path, As::Admin, Body::Empty).await;
        assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
        assert!(answer.json()["tokens"].is_array(), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn names_in_paths_are_decoded_once() {
    let server = Server::start();
    let t = Transcript::of(&server);
    for (encoded, name) in [("dev%2Fops%20%C3%BC", "dev/ops ü"), ("a%252Fb", "a%2Fb"), ("a+b", "a+b")] {
        let path = format!("/artifactory/api/security/groups/{encoded}");
        t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({}))).await;
        let answer = t.quietly(Method::GET, &path, As::Admin, Body::Empty).await;
        assert_eq!(answer.field("name"), name);
        let path = format!("/artifactory/access/api/v2/groups/{encoded}");
        let answer = t.quietly(Method::GET, &path, As::Admin, Body::Empty).await;
        assert_eq!(answer.field("name"), name);
    }
}

#[tokio::test]
async fn literals_go_before_ids_and_methods_are_those_of_the_literal() {
    let server = Server::start();
    let t = Transcript::of(&server);
    for (path, allowed) in [
        ("/access/api/v1/tokens/revoke", "DELETE"),
        ("/access/api/v1/tokens/default_expiry", "GET, HEAD, PUT"),
        ("/access/api/v1/tokens/me", "GET, HEAD, DELETE"),
        ("/api/security/users/bob", "GET, HEAD, PUT, POST, DELETE"),
        ("/circlet/v1/cluster/nodes/one", "DELETE"),
    ] {
        let answer = t.quietly(Method::PATCH, path, As::Admin, Body::Empty).await;
        assert_eq!(answer.status.as_u16(), 405, "{path}: {}", answer.text);
        assert_eq!(answer.headers["allow"], allowed, "{path}");
    }
}

/// HEAD goes by the table; GET of this one route doesn't.
#[tokio::test]
async fn the_route_that_is_known_at_sight_is_the_one_in_the_table() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let order =
        json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 600});
    let token = t.quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Json(order)).await;
    for credential in [As::Bearer(token.field("access_token")), As::Bearer("nonsense".to_owned()), As::Nobody]
    {
        let mut answers = Vec::new();
        for method in [Method::HEAD, Method::GET] {
            let answer = t.quietly(method, "/circlet/v1/verify", credential.clone(), Body::Empty).await;
            let mut headers = answer.headers.clone();
            assert!(headers.remove("x-request-id").is_some());
            headers.remove("date");
            answers.push((answer.status, headers));
        }
        assert_eq!(answers[0], answers[1]);
    }
}
