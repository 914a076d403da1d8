//! The feed as whoever follows it reads it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use circlet_token::feed::{CirclePublicKey, FeedAnswer};
use reqwest::Method;
use serde_json::json;

use crate::circle::{CIRCLE, TOKENS, hex, post};
use crate::decoded;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const FEED: &str = "/circlet/v1/feed";
const LIST: &str = "/circlet/v1/feed/list";
const HEAD: &str = "/circlet/v1/feed/head";

transcript_test!(feed, async |t: &mut Transcript<'_>| {
    let nonce = "5e".repeat(32);
    let start = format!("{FEED}?nonce={nonce}&generation=1&sequence=0&hash={}", "00".repeat(32));
    t.note("before there is a circle");
    for path in [start.as_str(), &format!("{LIST}?nonce={nonce}"), HEAD] {
        t.ask(Method::GET, path, As::Nobody, Body::Empty).await;
    }
    let known = post(t, &format!("{CIRCLE}/introductions"), json!({})).await.json();
    let key = STANDARD.decode(known["introductions"][0]["circle_key"].as_str().unwrap()).unwrap();
    let key = CirclePublicKey::of_spki(&key).unwrap();
    let feed = move |answer: &_| decoded::feed(answer, key);
    for secs in [0, 30 * 86_400] {
        let order = json!({"expires_in": secs, "force_revocable": true});
        let id = post(t, TOKENS, order).await.field("token_id");
        let path = format!("{TOKENS}/{id}");
        assert_eq!(t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await.status, 200);
    }
    t.note("the list, then the chain from where the list stood, then nothing new");
    let page = t.ask_read(Method::GET, &format!("{LIST}?nonce={nonce}"), As::Nobody, Body::Empty, feed).await;
    let at = FeedAnswer::read(&page.bytes).unwrap().head.position;
    t.ask_read(Method::GET, &start, As::Nobody, Body::Empty, feed).await;
    t.name(&hex(&at.hash), "hash");
    let on = format!(
        "{FEED}?nonce={nonce}&generation={}&sequence={}&hash={}",
        at.generation,
        at.sequence,
        hex(&at.hash)
    );
    t.ask_read(Method::GET, &on, As::Nobody, Body::Empty, feed).await;
    t.note("a place where the chain never was");
    let nowhere = format!("{FEED}?nonce={nonce}&generation=7&sequence=1&hash={}", "77".repeat(32));
    t.ask_read(Method::GET, &nowhere, As::Nobody, Body::Empty, feed).await;
    t.note("a head with a date");
    let head = move |answer: &_| decoded::dated_head(answer, key);
    t.ask_read(Method::GET, HEAD, As::Nobody, Body::Empty, head).await;
    t.note("questions that are none");
    for path in [
        format!("{FEED}?nonce={nonce}"),
        format!("{start}&sequence=1"),
        format!("{start}&member=nobody"),
        format!("{FEED}?nonce={nonce}&sequence=-1&hash={}", "00".repeat(32)),
        format!("{start}&member=jfrt@01someone00000000000000000&taken=x"),
        format!("{LIST}?nonce=5e"),
        format!("{LIST}?nonce={nonce}&cursor=x"),
        format!("{LIST}?nonce={nonce}&cursor=00"),
        format!("{LIST}?nonce={nonce}&page=2"),
        format!("{HEAD}?nonce={nonce}"),
    ] {
        let refused = t.ask(Method::GET, &path, As::Nobody, Body::Empty).await;
        assert_eq!(refused.status, 400, "{path}: {}", refused.text);
    }
});
