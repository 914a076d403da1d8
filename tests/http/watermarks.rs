//! Revoking everything of somebody at once.

use circlet::certificates::{TokenKeyKind, certificate_pem, private_key_pem, token_issuer};
use circlet_token::{Audience, Claims, KeyId, Scope, ServiceId, SigningKey, Subject, TokenId, mint};
use reqwest::Method;
use serde_json::json;

use crate::server::{PASSWORD, Server, circlet, free_address};
use crate::transcript::{Answer, As, Body, Transcript};
use crate::transcript_test;

const WATERMARKS: &str = "/circlet/v1/watermarks";
const TOKENS: &str = "/access/api/v1/tokens";

async fn token(t: &Transcript<'_>, user: &str, secs: u64) -> Answer {
    let body = json!({"username": user, "expires_in": secs, "scope": "applied-permissions/user"});
    let made = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    assert_eq!(made.status, 200, "{}", made.text);
    made
}

async fn status(t: &Transcript<'_>, token: &Answer) -> u16 {
    let who = As::Bearer(token.field("access_token"));
    t.quietly(Method::GET, "/circlet/v1/verify", who, Body::Empty).await.status.as_u16()
}

async fn put_user(t: &Transcript<'_>, name: &str, groups: &[&str]) {
    let body = json!({"username": name, "email": "", "password": "secret word", "groups": groups});
    let made = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(body)).await;
    assert_eq!(made.status, 201, "{}", made.text);
}

transcript_test!(revoking_together, async |t: &mut Transcript<'_>| {
    let group = Body::Json(json!({"name": "readers"}));
    t.quietly(Method::POST, "/access/api/v2/groups", As::Admin, group).await;
    for (name, groups) in [("ci-1", vec![]), ("ci-2", vec![]), ("ann", vec!["readers"]), ("bob", vec![])] {
        put_user(t, name, &groups).await;
    }
    let ask = async |t: &mut Transcript<'_>, body| {
        t.ask(Method::POST, WATERMARKS, As::Admin, Body::Json(body)).await;
    };
    t.note("counted first: a recorded token, and a plain one that nobody can count");
    let (recorded, plain) = (token(t, "ci-1", 0).await, token(t, "ci-2", 60).await);
    ask(t, json!({"user": "ci-*", "dry_run": true})).await;
    assert_eq!([status(t, &recorded).await, status(t, &plain).await], [200, 200]);
    ask(t, json!({"user": "ci-*"})).await;
    assert_eq!([status(t, &recorded).await, status(t, &plain).await], [401, 401]);
    assert_eq!(status(t, &token(t, "ci-1", 0).await).await, 200, "what is issued later is good");
    t.note("a group, a key, one user, a stretch of time");
    let (ann, bob) = (token(t, "ann", 0).await, token(t, "bob", 0).await);
    ask(t, json!({"group": "readers"})).await;
    assert_eq!([status(t, &ann).await, status(t, &bob).await], [401, 200]);
    ask(t, json!({"everyone": true, "since": 1000, "until": "2001-09-09T01:46:40Z"})).await;
    assert_eq!(status(t, &bob).await, 200);
    ask(t, json!({"user": "bob", "since": "2001-09-09T01:46:40Z"})).await;
    assert_eq!(status(t, &bob).await, 401);
    let active = t.quietly(Method::GET, "/circlet/v1/keys/active", As::Admin, Body::Empty).await.field("kid");
    t.name(&active, "active-kid");
    let mine = token(t, "admin", 0).await;
    ask(t, json!({"key": "active"})).await;
    assert_eq!(status(t, &mine).await, 401);
    let subject = format!("{}/pipeline/*", t.server.service_id);
    ask(t, json!({ "subject": subject })).await;
    t.ask(Method::GET, WATERMARKS, As::Admin, Body::Empty).await;
    t.note("what is no order");
    for body in [
        json!({}),
        json!({"user": "bob", "everyone": true}),
        json!({"group": "nobody"}),
        json!({"key": "nothing"}),
        json!({"subject": "alice"}),
        json!({"user": "bob", "since": 5, "until": 4}),
        json!({"user": "bob", "since": "yesterday"}),
        json!({"users": "bob"}),
    ] {
        ask(t, body).await;
    }
    t.note("for administrators, and for oneself");
    let everyone = || Body::Json(json!({"everyone": true}));
    let ann = || As::Password("ann", "secret word");
    t.ask(Method::POST, WATERMARKS, ann(), everyone()).await;
    t.ask(Method::POST, WATERMARKS, As::Nobody, everyone()).await;
    t.ask(Method::GET, WATERMARKS, ann(), Body::Empty).await;
    let own = token(t, "ann", 0).await;
    t.ask(Method::POST, WATERMARKS, ann(), Body::Json(json!({"user": "ann"}))).await;
    assert_eq!(status(t, &own).await, 401);
    let lines = t.server.audit_log();
    let line = lines.lines().find(|line| line.contains("group readers")).unwrap();
    assert!(line.contains("removed") && line.contains("\"recorded\":1"), "{line}");
});

/// A cluster whose key the test knows, and that key.
fn with_known_key() -> (Server, SigningKey, KeyId) {
    let home = tempfile::tempdir().unwrap();
    let service_id = "jfrt@01hx0wn0wn0wn0wn0wn0wn0wn0";
    let pair = token_issuer(TokenKeyKind::EdDsa, service_id, circlet::clock::wall_ms()).unwrap();
    let place = |name: &str, content: &[u8]| {
        let file = home.path().join(name);
        std::fs::write(&file, content).unwrap();
        file
    };
    let certificate = place("root.crt", certificate_pem(&pair.certificate).as_bytes());
    let key = place("private.key", private_key_pem(&pair.private_key).expose());
    let password = place("password", PASSWORD.as_bytes());
    let mut init = circlet();
    init.arg("init").arg("--home").arg(home.path().join("home")).arg("--key").arg(key).arg("--cert");
    init.arg(certificate).arg("--admin-password-file").arg(password);
    init.args(["--http-listen", &free_address(), "--peer-listen", &free_address()]);
    let init = init.output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let signing = SigningKey::from_pkcs8_der(pair.private_key.expose()).unwrap();
    (Server::serve(home), signing, KeyId::of_certificate(&pair.certificate))
}

/// What counts is what the node knew that issued a token, and not when it did: its view at log index 2 had not heard of a
/// revoke at 4, whatever the clock said.
#[tokio::test]
async fn a_token_of_a_node_that_had_not_heard_of_the_revoke_is_refused() {
    let (server, key, kid) = with_known_key();
    let t = Transcript::of(&server);
    let body = Body::Json(json!({"everyone": true}));
    let revoked = t.quietly(Method::POST, WATERMARKS, As::Admin, body).await;
    let index: u64 = revoked.headers["x-circlet-index"].to_str().unwrap().parse().unwrap();
    let service = ServiceId::parse(&server.service_id).unwrap();
    let issued_at = circlet::clock::wall_ms() / 1_000 + 20;
    let issued_by_a_view_at = |index: u64| {
        let claims = Claims {
            revocable: None,
            subject: Subject::parse(&format!("{service}/users/admin")).unwrap(),
            scope: Scope::parse("applied-permissions/user").unwrap(),
            audience: Audience::any(),
            issuer: service.clone(),
            expires_at: Some(issued_at + 600),
            issued_at,
            not_before: None,
            id: Some(TokenId([7; 16])),
            index: Some(index),
        };
        mint(&claims, &kid, &key)
    };
    let status = async |token: String| {
        let verify = "/circlet/v1/verify";
        t.quietly(Method::GET, verify, As::Bearer(token), Body::Empty).await.status.as_u16()
    };
    assert_eq!(status(issued_by_a_view_at(index - 1)).await, 401);
    assert_eq!(status(issued_by_a_view_at(index)).await, 200);
}
