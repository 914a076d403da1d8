//! What a node serves to verifiers that have none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use circlet::clock::wall_ms;
use circlet_token::feed::{DatedHead, FeedWant, Follower};
use circlet_token::{Check, Circle, KeySet, PublicKey, Reject, Revocation, ServiceId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::circle::hex;
use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

const HEAD: &str = "/circlet/v1/feed/head";

async fn bytes(server: &Server, path: &str) -> Vec<u8> {
    let answer = reqwest::get(format!("{}{path}", server.url)).await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{path}");
    answer.bytes().await.unwrap().to_vec()
}

/// Reads the feed to its end, then the head.
async fn follow(server: &Server, follower: &mut Follower) -> DatedHead {
    let nonce = "00".repeat(32);
    loop {
        let path = match follower.want() {
            FeedWant::Page(cursor) => format!("/circlet/v1/feed/list?nonce={nonce}&cursor={}", hex(&cursor)),
            FeedWant::Entries(at) => format!(
                "/circlet/v1/feed?nonce={nonce}&generation={}&sequence={}&hash={}",
                at.generation,
                at.sequence,
                hex(&at.hash)
            ),
            FeedWant::Nothing => panic!("the feed contradicts itself"),
        };
        if !follower.take(&bytes(server, &path).await).unwrap() {
            break;
        }
    }
    let head = bytes(server, HEAD).await;
    follower.take_head(&head, wall_ms()).unwrap();
    DatedHead::read(&head).unwrap()
}

#[tokio::test]
async fn a_dated_head_holds_what_was_acknowledged_before_its_date() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let none = t.quietly(Method::GET, HEAD, As::Nobody, Body::Empty).await;
    assert_eq!(none.status, 404, "there is no circle key yet: {}", none.text);
    let path = "/circlet/v1/circle/introductions";
    let stranger = t.quietly(Method::POST, path, As::Nobody, Body::Json(json!({}))).await;
    assert_eq!(stranger.status, 401, "{}", stranger.text);
    let hosts = json!({ "hosts": ["https://elsewhere.example.org"] });
    let said = t.quietly(Method::POST, path, As::Admin, Body::Json(hosts)).await.json();
    let own = &said["introductions"][0];
    assert_eq!(own["hosts"], json!(["https://elsewhere.example.org"]));
    let decoded = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let issuer = ServiceId::parse(&server.service_id).unwrap();
    let mut keys = KeySet::new();
    keys.insert(PublicKey::from_certificate(&decoded(&own["certificates"][0]), None).unwrap()).unwrap();
    let mut follower = Follower::new(&issuer, &decoded(&own["circle_key"]), 1_000).unwrap();

    let forever = json!({"username": "robot", "scope": "applied-permissions/groups:x", "expires_in": 0});
    let made = t.quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Json(forever)).await.json();
    let (id, token) = (made["token_id"].as_str().unwrap(), made["access_token"].as_str().unwrap());
    let begun_ms = wall_ms();
    let first = follow(&server, &mut follower).await;
    assert!((begun_ms..=wall_ms()).contains(&first.issued_at_ms), "{first:?}");
    assert_eq!(first.valid_for_ms, 60_000);
    let mut circle = Circle::new(keys);
    circle.follow(follower);
    let verify = |circle: &Circle| {
        circle.verify(token, &Check::new(wall_ms() / 1_000, &issuer)).map(|verified| verified.claims.id)
    };
    assert!(verify(&circle).unwrap().is_some());

    let path = format!("/access/api/v1/tokens/{id}");
    assert_eq!(t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await.status, 200);
    let acknowledged_ms = wall_ms();
    let second = follow(&server, circle.follower_mut(&issuer).unwrap()).await;
    assert!(second.issued_at_ms >= acknowledged_ms);
    assert_eq!(second.position.sequence, first.position.sequence + 1);
    assert_eq!(verify(&circle), Err(Reject::Revoked { why: Revocation::Listed }));
}
