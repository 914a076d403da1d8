//! What other clusters, other spellings and other sizes may not achieve.

use circlet::certificates::{self, TokenKeyKind};
use circlet_token::{
    Audience, Claims, Scope, ServiceId, SigningKey, Subject, TokenId, UserName, mint, read_certificate,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";

/// A token of another cluster, under its own key, with an id of its choice; and its certificate.
fn foreign(service_id: &str, id: TokenId) -> (String, String) {
    let now_ms = circlet::clock::wall_ms();
    let issuer = certificates::token_issuer(TokenKeyKind::EdDsa, service_id, now_ms).unwrap();
    let service = ServiceId::parse(service_id).unwrap();
    let now = now_ms / 1000;
    let claims = Claims {
        revocable: None,
        subject: Subject::user(&service, &UserName::parse("admin").unwrap()),
        scope: Scope::parse("applied-permissions/groups:readers").unwrap(),
        audience: Audience::any(),
        issuer: service,
        expires_at: Some(now + 600),
        issued_at: now,
        not_before: None,
        id: Some(id),
        index: None,
    };
    let kid = read_certificate(&issuer.certificate).unwrap().key_id;
    let key = SigningKey::from_pkcs8_der(issuer.private_key.expose()).unwrap();
    (mint(&claims, &kid, &key), certificates::certificate_pem(&issuer.certificate))
}

#[tokio::test]
async fn another_cluster_learns_nothing_by_drawing_the_id_of_one_of_our_tokens() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let readers = json!({"name": "readers"});
    t.quietly(Method::POST, "/access/api/v2/groups", As::Admin, Body::Json(readers)).await;
    let wanted = json!({"expires_in": 0, "description": "the secret plan"});
    let ours = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(wanted)).await.field("token_id");
    let (theirs, certificate) = foreign("jfrt@01stranger", TokenId::parse(&ours).unwrap());
    let trusted = json!({"certificate": certificate, "limits": {"admin": true}});
    let trusted = t.quietly(Method::POST, "/circlet/v1/trust", As::Admin, Body::Json(trusted)).await;
    assert_eq!(trusted.status, 201, "{}", trusted.text);

    let me = t.quietly(Method::GET, &format!("{TOKENS}/me"), As::Bearer(theirs.clone()), Body::Empty).await;
    assert_eq!((me.status.as_u16(), me.json()["persisted"].clone()), (200, Value::Bool(false)));
    assert_eq!(me.field("subject"), "jfrt@01stranger/users/admin");
    assert!(!me.text.contains("secret plan"), "{}", me.text);
    for (method, path) in [
        (Method::GET, format!("{TOKENS}/{ours}")),
        (Method::DELETE, format!("{TOKENS}/{ours}")),
        (Method::DELETE, format!("{TOKENS}/me")),
        (Method::GET, TOKENS.to_owned()),
        (Method::GET, "/access/api/v2/groups/readers".to_owned()),
    ] {
        let refused = t.quietly(method, &path, As::Bearer(theirs.clone()), Body::Empty).await;
        assert_eq!(refused.status, 403, "{path}: {}", refused.text);
    }
}

#[tokio::test]
async fn a_refresh_with_a_change_is_repeated_like_any_other() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let wanted = json!({"refreshable": true, "force_revocable": true, "expires_in": 7200});
    let first = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(wanted)).await;
    let body = json!({
        "grant_type": "refresh_token",
        "refresh_token": first.field("refresh_token"),
        "expires_in": 1200,
    });
    let again = async |body: &Value| {
        t.quietly(Method::POST, TOKENS, As::Bearer(first.field("access_token")), Body::Json(body.clone()))
            .await
    };
    let (once, twice) = (again(&body).await, again(&body).await);
    assert_eq!(once.status, 200, "{}", once.text);
    assert_eq!(once.json()["expires_in"], 1200);
    assert_eq!(twice.status, 200, "{}", twice.text);
    assert_eq!(once.field("access_token"), twice.field("access_token"));
    assert_eq!(once.field("refresh_token"), twice.field("refresh_token"));
    let mut other = body;
    other["expires_in"] = 1300.into();
    assert!(again(&other).await.status.is_client_error());
}

#[tokio::test]
async fn a_refresh_that_shows_the_reference_token_is_repeated_like_any_other() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let wanted = json!({"refreshable": true, "force_revocable": true, "include_reference_token": true, "expires_in": 7200});
    let first = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(wanted.clone())).await;
    let other = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(wanted)).await;
    let asked = async |reference: String| {
        let body = json!({
            "grant_type": "refresh_token",
            "refresh_token": first.field("refresh_token"),
            "access_token": reference,
        });
        t.quietly(Method::POST, TOKENS, As::Nobody, Body::Json(body)).await
    };
    let once = asked(first.field("reference_token")).await;
    assert_eq!(once.status, 200, "{}", once.text);
    let twice = asked(first.field("reference_token")).await;
    assert_eq!(twice.status, 200, "{}", twice.text);
    assert_eq!(once.field("access_token"), twice.field("access_token"));
    assert_eq!(once.field("refresh_token"), twice.field("refresh_token"));
    assert!(asked(other.field("reference_token")).await.status.is_client_error());
}

#[tokio::test]
async fn what_an_administrator_changed_at_a_refresh_is_repeated_for_nobody_who_has_the_pair_alone() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let wanted = json!({"username": "ci", "scope": "applied-permissions/groups:readers", "refreshable": true, "force_revocable": true});
    let pair = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(wanted)).await;
    let body = json!({
        "grant_type": "refresh_token",
        "refresh_token": pair.field("refresh_token"),
        "access_token": pair.field("access_token"),
        "scope": "applied-permissions/admin",
    });
    let asked = async |who| t.quietly(Method::POST, TOKENS, who, Body::Json(body.clone())).await;
    let changed = asked(As::Admin).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.field("scope"), "applied-permissions/admin");
    let pair = asked(As::Bearer(pair.field("access_token"))).await;
    assert!(pair.status.is_client_error(), "{}", pair.text);
    let again = asked(As::Admin).await;
    assert_eq!(again.field("access_token"), changed.field("access_token"));
}

#[tokio::test]
async fn a_user_is_one_and_the_same_however_the_name_is_spelled() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let subject = format!("{}/users/ADMIN", server.service_id);
    let body = Body::Json(json!({"username": subject}));
    let token = t.quietly(Method::POST, TOKENS, As::Admin, body).await.field("access_token");
    let verdict = t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token), Body::Empty).await;
    assert_eq!(verdict.field("subject"), format!("{}/users/admin", server.service_id));
    assert_eq!(verdict.json()["transient"], false);
}

#[tokio::test]
async fn what_is_too_large_for_one_decision_is_said_to_be() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let members: Vec<String> = (0..8000).map(|number| format!("member-{number}")).collect();
    let body = Body::Json(json!({"name": "crowd", "userNames": members}));
    let refused = t.quietly(Method::PUT, "/api/security/groups/crowd", As::Admin, body).await;
    assert_eq!(refused.status, 413, "{}", refused.text);
}

#[tokio::test]
async fn a_user_sees_nothing_of_an_earlier_one_of_the_name() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let bob = json!({"username": "bob", "email": "bob@example.org", "password": "bob's own", "admin": true});
    let users = "/access/api/v2/users";
    t.quietly(Method::POST, users, As::Admin, Body::Json(bob.clone())).await;
    let wanted = json!({"username": "robot", "scope": "applied-permissions/admin", "expires_in": 0});
    let as_bob = || As::Password("bob", "bob's own");
    let old = t.quietly(Method::POST, TOKENS, as_bob(), Body::Json(wanted)).await.field("token_id");
    t.quietly(Method::DELETE, &format!("{users}/bob"), As::Admin, Body::Empty).await;
    let mut another = bob;
    another["admin"] = false.into();
    t.quietly(Method::POST, users, As::Admin, Body::Json(another)).await;
    let listed = t.quietly(Method::GET, TOKENS, as_bob(), Body::Empty).await;
    assert_eq!((listed.status.as_u16(), listed.json()["tokens"].clone()), (200, json!([])));
    for method in [Method::GET, Method::DELETE] {
        let refused = t.quietly(method, &format!("{TOKENS}/{old}"), as_bob(), Body::Empty).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
    }
    let own = t.quietly(Method::POST, TOKENS, as_bob(), Body::Empty).await.field("token_id");
    let listed = t.quietly(Method::GET, TOKENS, as_bob(), Body::Empty).await.json();
    assert_eq!(listed["tokens"][0]["token_id"], own);
}
