//! User names that are hard on paths, headers and forms survive every way through.

use std::fmt::Write as _;

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
const PASSWORD: &str = "long enough";

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

#[tokio::test]
async fn a_user_name_survives_every_path() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let longest = "é".repeat(255);
    let widest = "🦀".repeat(255);
    for name in [
        "dev ops",
        "a/b//c",
        "users/x",
        "jörg@exämple.org",
        "50%25+1",
        "a|b\"c'd,e;f?g#h&i=j",
        &longest,
        &widest,
    ] {
        let user = json!({"username": name, "email": "a@example.org", "password": PASSWORD});
        let made = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
        assert_eq!(made.status, 201, "{name}: {}", made.text);
        assert_eq!(made.json()["username"], name);
        for path in ["/access/api/v2/users/", "/artifactory/api/security/users/"] {
            let path = format!("{path}{}", encoded(name));
            let found = t.quietly(Method::GET, &path, As::Admin, Body::Empty).await;
            assert_eq!(found.status, 200, "{path}: {}", found.text);
            let found = found.json();
            assert!(found["username"] == name || found["name"] == name, "{found}");
        }
        tokens_of(&t, name).await;
        let path = format!("/artifactory/api/security/users/{}", encoded(name));
        assert_eq!(t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await.status, 200, "{name}");
    }
    for line in server.audit_log().lines() {
        assert_eq!(line.split('|').count(), 9, "{line}");
        assert!(line.split('|').take(8).all(|field| !field.contains(' ')), "{line}");
    }
}

/// Both APIs make tokens for the name; they authenticate as bearer and as password; the list finds them by the name.
async fn tokens_of(t: &Transcript<'_>, name: &str) {
    let body = json!({"username": name, "scope": "applied-permissions/user"});
    let made = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    assert_eq!(made.status, 200, "{name}: {}", made.text);
    let form = format!("username={}&scope=member-of-groups:*", encoded(name));
    let older = t.quietly(Method::POST, "/artifactory/api/security/token", As::Admin, Body::Form(form)).await;
    assert_eq!(older.status, 200, "{name}: {}", older.text);
    for token in [made.field("access_token"), older.field("access_token")] {
        let seen = t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token.clone()), Body::Empty).await;
        assert_eq!(seen.json()["user"], name, "{}", seen.text);
        let header = seen.headers["x-circlet-user"].to_str().unwrap();
        let header = percent_encoding_of(header);
        assert_eq!(header, name);
        let leaked: &'static str = name.to_owned().leak();
        let ping = "/artifactory/api/system/ping";
        let answer =
            t.quietly(Method::GET, ping, As::TokenAsPassword(leaked, token.clone()), Body::Empty).await;
        assert_eq!(answer.text, "OK", "{name}");
        let me = t.quietly(Method::GET, &format!("{TOKENS}/me"), As::Bearer(token), Body::Empty).await;
        assert_eq!(me.json()["username"], name, "{}", me.text);
    }
    let query = format!("{TOKENS}?username={}", encoded(name));
    let listed = t.quietly(Method::GET, &query, As::Admin, Body::Empty).await.json();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1, "{listed}");
    let own: &'static str = name.to_owned().leak();
    let by_password = t.quietly(Method::GET, TOKENS, As::Password(own, PASSWORD), Body::Empty).await.json();
    assert_eq!(by_password, listed);
}

/// What a reader of the header does.
fn percent_encoding_of(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_name_is_one_whatever_its_case_and_a_colon_is_refused_when_it_is_made() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    for name in ["a:b", "", " ", "a\nb", &"x".repeat(256)] {
        let user = json!({"username": name, "email": "a@example.org", "password": PASSWORD});
        let made = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
        assert_eq!(made.status, 400, "{name}: {}", made.text);
        if !name.trim().is_empty() {
            let path = format!("/artifactory/api/security/users/{}", encoded(name));
            let user = json!({"email": "a@example.org", "password": PASSWORD});
            let made = t.quietly(Method::PUT, &path, As::Admin, Body::Json(user)).await;
            assert_eq!(made.status, 400, "{name}: {}", made.text);
        }
        for (path, form) in [
            (TOKENS, format!("username={}&scope=applied-permissions/groups:g", encoded(name))),
            (
                "/artifactory/api/security/token",
                format!("username={}&scope=member-of-groups:g", encoded(name)),
            ),
        ] {
            if name.is_empty() {
                continue;
            }
            let made = t.quietly(Method::POST, path, As::Admin, Body::Form(form)).await;
            assert_eq!(made.status, 400, "{path} {name}: {}", made.text);
        }
    }
    let user = json!({"username": "Ärger", "email": "a@example.org", "password": PASSWORD});
    let made = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user.clone())).await;
    assert_eq!(made.json()["username"], "ärger");
    let again = t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    assert_eq!(again.status, 409, "{}", again.text);
    let token = t.quietly(Method::POST, TOKENS, As::Password("ÄRGER", PASSWORD), Body::Empty).await;
    let as_password = As::TokenAsPassword("äRGER", token.field("access_token"));
    let answer = t.quietly(Method::GET, "/artifactory/api/system/ping", as_password, Body::Empty).await;
    assert_eq!(answer.text, "OK");
}
