//! The signing keys.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const KEYS: &str = "/circlet/v1/keys";

transcript_test!(signing_keys, async |t: &mut Transcript<'_>| {
    let first = t.quietly(Method::GET, "/circlet/v1/keys/active", As::Admin, Body::Empty).await.field("kid");
    t.name(&first, "first-kid");
    t.ask(Method::GET, KEYS, As::Admin, Body::Empty).await;
    t.ask(Method::GET, KEYS, As::Nobody, Body::Empty).await;
    t.ask(Method::GET, &format!("{KEYS}/{first}"), As::Admin, Body::Empty).await;
    t.ask(Method::GET, &format!("{KEYS}/next"), As::Admin, Body::Empty).await;
    t.note("one rotation at a time");
    let order = json!({"algorithm": "eddsa", "overlap": 3600});
    let next = t.ask(Method::POST, KEYS, As::Admin, Body::Json(order)).await.field("kid");
    t.name(&next, "next-kid");
    t.ask(Method::POST, KEYS, As::Admin, Body::Empty).await;
    t.ask(Method::POST, KEYS, As::Admin, Body::Json(json!({"algorithm": "es256"}))).await;
    t.ask(Method::POST, KEYS, As::Admin, Body::Json(json!({"overlap": -1}))).await;
    t.note("given up");
    t.ask(Method::DELETE, &format!("{KEYS}/next"), As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &format!("{KEYS}/{next}"), As::Admin, Body::Empty).await;
    t.note("what was never active retires again without harm, what signs doesn't");
    t.ask(Method::POST, &format!("{KEYS}/{next}/retire"), As::Admin, Body::Empty).await;
    t.ask(Method::POST, &format!("{KEYS}/active/retire"), As::Admin, Body::Empty).await;
    t.note("leaked");
    t.ask(Method::POST, &format!("{KEYS}/nobody/taint"), As::Admin, Body::Empty).await;
    t.ask(Method::POST, &format!("{KEYS}/active/taint"), As::Admin, Body::Empty).await;
    t.ask(Method::POST, &format!("{KEYS}/{first}/taint"), As::Admin, Body::Empty).await;
    let signs = t.quietly(Method::GET, "/circlet/v1/keys/active", As::Admin, Body::Empty).await.field("kid");
    assert_ne!(signs, first, "another key signs");
});
