//! One owner who creates tokens without end, where no count stops it: what does is the memory that the node may take.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::flooding::Flooding;
use crate::server::{PASSWORD, Server};
use crate::sound_client::SoundClient;
use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
/// What the owner may fill beyond what the node has at rest.
const GROWTH_BYTES: u64 = 12 << 20;
/// What a check of a password takes for a moment.
const CHECK_BYTES: u64 = 19 << 20;
/// So many create at once.
const CREATORS: usize = 8;
/// The largest description, so that it takes fewer tokens.
const DESCRIPTION_BYTES: usize = 1_000;
const DEADLINE: Duration = Duration::from_mins(10);

/// What was made, and how often nothing was made any more.
#[derive(Default)]
struct Made {
    ids: Mutex<Vec<String>>,
    refused: AtomicUsize,
}

#[tokio::test]
async fn one_owner_can_fill_the_memory_up_to_its_limit_and_takes_nothing_from_others() {
    let rest = at_rest().await;
    // Nine tenths of it, less a check of a password, are what it has at rest and may fill.
    let limit = (rest + GROWTH_BYTES + CHECK_BYTES) / 9 * 10;
    let server = Server::start_with(&format!("memory.limit-bytes: {limit}\n"));
    let t = Transcript::of(&server);
    for count in ["limits.recorded-tokens-per-owner-max", "limits.recorded-tokens-max"] {
        let path = format!("/circlet/v1/config/{count}");
        let set = t.quietly(Method::PUT, &path, As::Admin, Body::Json(json!({"value": 1_000_000_000}))).await;
        assert_eq!(set.status, 200, "{}", set.text);
    }
    let sound = SoundClient::start(&server).await;
    let made = Arc::new(Made::default());
    create_without_end(&server, &made).await;
    sound.assert_well("an owner creates without end");
    let ids = std::mem::take(&mut *made.ids.lock().unwrap());
    let refused = made.refused.load(Ordering::SeqCst);
    assert!(ids.len() > CREATORS && refused >= CREATORS, "{} were made, {refused} refused", ids.len());

    // Whoever has a password is heard all the same, and there is room for that.
    let guesses = (0..32)
        .map(|_| t.quietly(Method::GET, "/circlet/v1/verify", As::Password("nobody", "wrong"), Body::Empty));
    for answer in join_all(guesses).await {
        assert!(matches!(answer.status.as_u16(), 401 | 429), "{}", answer.text);
    }
    let ready = t.quietly(Method::GET, "/readyz", As::Nobody, Body::Empty).await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    assert_eq!(ready.json()["missing"][0]["condition"], "memory_tight", "{}", ready.text);
    let asking = &t;
    for ids in ids.chunks(CREATORS) {
        let revokes = ids.iter().map(|id| async move {
            let path = format!("{TOKENS}/{id}");
            asking.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await
        });
        for revoked in join_all(revokes).await {
            assert_eq!(revoked.status, 200, "no limit refuses a revoke: {}", revoked.text);
        }
    }
    sound.goes_on("all is revoked").await;
    let peak = server.peak_bytes();
    assert!(peak < limit, "{peak} bytes were resident of {limit}, {rest} at rest");
    assert!(sound.ended_well().await > 0);

    // The process keeps what it has used, and uses it for others.
    let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
    let anew = t.quietly(Method::POST, TOKENS, As::Admin, order).await;
    assert_eq!(anew.status, 200, "{}", anew.text);
    let peak = server.peak_bytes();
    assert!(peak < limit, "{peak} bytes were resident of {limit}");

    // Given more, it goes on in any case.
    let server = server.again(|home| {
        let settings = home.join("etc/node.yml");
        let text = std::fs::read_to_string(&settings).unwrap();
        let given = text
            .replace(&format!("memory.limit-bytes: {limit}"), &format!("memory.limit-bytes: {}", 2 * limit));
        assert_ne!(text, given);
        std::fs::write(settings, given).unwrap();
    });
    let t = Transcript::of(&server);
    let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
    let again = t.quietly(Method::POST, TOKENS, As::Admin, order).await;
    assert_eq!(again.status, 200, "{}", again.text);
    for id in ids.iter().take(CREATORS) {
        let gone = t.quietly(Method::DELETE, &format!("{TOKENS}/{id}"), As::Admin, Body::Empty).await;
        assert_eq!(gone.status, 204, "it was revoked before: {}", gone.text);
    }
}

/// What a node has that does what it will do under the flood, without one.
async fn at_rest() -> u64 {
    let server = Server::start();
    let sound = SoundClient::start(&server).await;
    sound.goes_on("the node is at rest").await;
    sound.ended_well().await;
    server.resident_bytes()
}

/// Until it was refused, and for as long as the flood should last.
async fn create_without_end(server: &Server, made: &Arc<Made>) {
    let flooding = Arc::new(Flooding::begin());
    let creators = (0..CREATORS).map(|_| {
        let (url, made, flooding) =
            (format!("{}{TOKENS}", server.url), Arc::clone(made), Arc::clone(&flooding));
        tokio::spawn(async move {
            let client = Client::builder().no_proxy().build().unwrap();
            let description = "x".repeat(DESCRIPTION_BYTES);
            let order = json!({"expires_in": 7200, "force_revocable": true, "description": description});
            let (begun, mut refused) = (Instant::now(), 0);
            while refused == 0 || !flooding.is_over() {
                assert!(refused > 0 || begun.elapsed() < DEADLINE, "{GROWTH_BYTES} bytes are not filled");
                let asked = client.post(&url).basic_auth("admin", Some(PASSWORD)).json(&order);
                let answer = asked.send().await.unwrap();
                let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
                if status == 200 {
                    let token: Value = serde_json::from_str(&text).unwrap();
                    made.ids.lock().unwrap().push(token["token_id"].as_str().unwrap().to_owned());
                } else if status == 503 && text.contains("this node is short of memory") {
                    refused += 1;
                    made.refused.fetch_add(1, Ordering::SeqCst);
                } else {
                    // Busy for a moment: it is asked again, as everybody may.
                    assert!(matches!(status, 429 | 503), "{status}: {text}");
                }
            }
        })
    });
    let creators: Vec<_> = creators.collect();
    for creator in creators {
        creator.await.unwrap();
    }
}
