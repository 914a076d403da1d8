//! Lists of tokens: pages, and when a token was last used.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
const LEGACY: &str = "/artifactory/api/security/token";

fn ids(list: &Value) -> Vec<String> {
    let tokens = list["tokens"].as_array().unwrap().iter();
    tokens.map(|token| token["token_id"].as_str().unwrap().to_owned()).collect()
}

/// The first page says that there is more, and where it goes on; together the pages hold everything once.
#[tokio::test]
async fn both_apis_say_that_there_is_more() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    for _ in 0..5 {
        t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(json!({"expires_in": 0}))).await;
    }
    for path in [TOKENS, LEGACY] {
        let all = t.quietly(Method::GET, path, As::Admin, Body::Empty).await;
        assert_eq!(ids(&all.json()).len(), 5);
        assert!(
            !all.headers.contains_key("x-circlet-cursor") && !all.headers.contains_key("x-circlet-warning")
        );
        let (mut seen, mut query) = (Vec::new(), "?limit=2".to_owned());
        loop {
            let page = t.quietly(Method::GET, &format!("{path}{query}"), As::Admin, Body::Empty).await;
            seen.extend(ids(&page.json()));
            if path == LEGACY {
                assert_eq!(
                    page.json().as_object().unwrap().len(),
                    1,
                    "the older API has no keys but its own"
                );
            }
            let Some(cursor) = page.headers.get("x-circlet-cursor") else { break };
            let cursor = cursor.to_str().unwrap();
            assert!(page.headers["x-circlet-warning"].to_str().unwrap().contains("more"));
            query = format!("?limit=2&cursor={cursor}");
        }
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 5);
        assert_eq!(seen, ids(&all.json()), "{path}");
    }
    for query in ["?limit=0", "?limit=10001", "?cursor=nonsense"] {
        let refused = t.quietly(Method::GET, &format!("{LEGACY}{query}"), As::Admin, Body::Empty).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text);
    }
}

#[tokio::test]
async fn the_last_use_of_a_token_is_shown_after_a_while() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let setting = "/circlet/v1/config/token.last-used-interval";
    let set = t.quietly(Method::PUT, setting, As::Admin, Body::Json(json!({"value": 1}))).await;
    assert_eq!(set.status, 200, "{}", set.text);
    let token = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(json!({"expires_in": 0}))).await;
    let unused = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(json!({"expires_in": 0}))).await;
    let shown = async |id: String| {
        t.quietly(Method::GET, &format!("{TOKENS}/{id}"), As::Admin, Body::Empty).await.json()
    };
    assert!(shown(token.field("token_id")).await.get("last_used").is_none());
    t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token.field("access_token")), Body::Empty).await;
    let deadline = Instant::now() + Duration::from_mins(1);
    let used = loop {
        let found = shown(token.field("token_id")).await;
        if let Some(at) = found["last_used"].as_u64() {
            break (at, found["issued_at"].as_u64().unwrap());
        }
        assert!(Instant::now() < deadline, "{found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(used.0 >= used.1, "{used:?}");
    assert!(shown(unused.field("token_id")).await.get("last_used").is_none());
}

/// A token that nothing recorded tells of itself what it says.
#[tokio::test]
async fn me_is_told_from_the_claims_of_a_plain_token() {
    let server = crate::server::Server::start();
    let t = Transcript::of(&server);
    let body = json!({"expires_in": 60, "username": "robot", "scope": "applied-permissions/groups:g"});
    let plain = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(body)).await;
    assert_eq!(plain.json()["persisted"], false);
    let me = t
        .quietly(Method::GET, &format!("{TOKENS}/me"), As::Bearer(plain.field("access_token")), Body::Empty)
        .await;
    let me = me.json();
    assert_eq!(me["token_id"], plain.field("token_id"));
    assert_eq!((&me["username"], &me["scope"]), (&json!("robot"), &json!("applied-permissions/groups:g")));
    assert_eq!(me["expiry"].as_u64().unwrap() - me["issued_at"].as_u64().unwrap(), 60);
    let by_id = format!("{TOKENS}/{}", plain.field("token_id"));
    assert_eq!(t.quietly(Method::GET, &by_id, As::Admin, Body::Empty).await.status, 404);
}
