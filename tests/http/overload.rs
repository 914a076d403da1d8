//! A node that has too little of something, or too much asked of it: it refuses what can wait, says so, and goes on
//! verifying and revoking.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::flooding::Flooding;
use crate::server::Server;
use crate::sound_client::SoundClient;
use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
const LEGACY: &str = "/artifactory/api/security/token";
/// A node under a flood never takes more, in a debug build: it takes some 90 MiB at rest. It is told so as its limit.
const RESIDENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Clients of the flood, from several addresses, since one may not have so many.
const CROWD: usize = 3_000;
/// As many as a node takes, but for some who are served all the while; for floods that go on for long.
const LARGE_CROWD: usize = 8_000;
const CLIENTS_PER_ADDRESS: usize = 500;
/// So many tokens one owner may have.
const OWNED_MAX: usize = 50;
const DEADLINE: Duration = Duration::from_mins(2);
/// A disk that has less than its reserve: no disk has as much.
const FULL_DISK: &str = "disk.reserve-bytes: 1152921504606846976\n";
/// Memory that has reached its limit: every process has more.
const TIGHT_MEMORY: &str = "memory.limit-bytes: 4096\n";

#[tokio::test]
async fn who_is_short_of_disk_or_memory_issues_nothing_to_be_kept_and_verifies_and_revokes() {
    for (settings, condition, of) in [
        (FULL_DISK, "disk_full", "this node is short of disk"),
        (TIGHT_MEMORY, "memory_tight", "this node is short of memory"),
    ] {
        let server = Server::start_with(settings);
        let t = Transcript::of(&server);
        // What an administrator does goes on.
        let set = Body::Json(json!({"value": 0}));
        let path = "/circlet/v1/config/token.minimum-revocable-expiry";
        assert_eq!(t.quietly(Method::PUT, path, As::Admin, set).await.status, 200, "{condition}");

        let form = || Body::Form("username=robot&scope=member-of-groups:readers&expires_in=600".to_owned());
        let plain = t.quietly(Method::POST, LEGACY, As::Admin, form()).await;
        assert_eq!(plain.status, 200, "plain tokens are not kept: {}", plain.text);
        let token = plain.field("access_token");
        let verify = async || {
            t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token.clone()), Body::Empty).await
        };
        assert_eq!(verify().await.status, 200, "{condition}");

        let recorded = Body::Json(json!({"expires_in": 600, "refreshable": true}));
        let refused = t.quietly(Method::POST, TOKENS, As::Admin, recorded).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.text.contains(of), "{}", refused.text);
        assert_eq!(refused.headers["retry-after"], "5");

        let revoke = Body::Form(format!("token={token}"));
        let revoked = t.quietly(Method::POST, &format!("{LEGACY}/revoke"), As::Admin, revoke).await;
        assert_eq!(revoked.text, "Token revoked", "nothing refuses a revoke");
        assert_eq!(verify().await.status, 401, "{condition}");

        let ready = t.quietly(Method::GET, "/readyz", As::Nobody, Body::Empty).await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        assert_eq!(ready.json()["missing"][0]["condition"], condition);
        let ready = t.quietly(Method::GET, "/readyz?for=writes", As::Nobody, Body::Empty).await;
        assert_eq!(ready.status, 503, "{}", ready.text);
        assert_eq!(ready.json()["serves"], json!({"plain_tokens": true, "everything": false}));

        let page = t.quietly(Method::GET, "/metrics", As::Admin, Body::Empty).await.text;
        let short = of.rsplit(' ').next().unwrap_or_default();
        for (reason, shed) in [(short, 1), ("busy", 0)] {
            let line = format!("circlet_shed_total{{reason=\"{reason}\"}} {shed}");
            assert!(page.lines().any(|shown| shown == line), "{line}: {page}");
        }
    }
}

/// Where the node listens.
fn address(server: &Server) -> SocketAddr {
    server.url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// A node that is held to its limit of memory, with more settings.
fn limited(settings: &str) -> Server {
    Server::start_with(&format!("memory.limit-bytes: {RESIDENT_BYTES_MAX}\n{settings}"))
}

/// What it has at the moment is not what is asked for: what it had for a moment has counted as well.
fn assert_stayed_small(server: &Server, during: &str) {
    let peak = server.peak_bytes();
    assert!(peak < RESIDENT_BYTES_MAX, "{during}: {peak} bytes were resident");
}

/// Loopback has many addresses to come from.
async fn connect_from(last: u8, to: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 7, last), 0).into())?;
    socket.connect(to).await
}

/// Thousands of connections that say nothing, or half a request, or send a large body slowly, while others are served.
#[tokio::test]
async fn thousands_of_open_and_slow_connections_take_little_memory_and_keep_nobody_out() {
    let server = limited(&format!("http.connections-per-address-max: {CLIENTS_PER_ADDRESS}\n"));
    let sound = SoundClient::start(&server).await;
    let to = address(&server);
    let flooding = Flooding::begin();
    let size = if flooding.goes_on() { LARGE_CROWD } else { CROWD };
    loop {
        let mut crowd = crowd(size, to).await;
        say_more(&mut crowd).await;
        tokio::select! {
            () = sound.goes_on("a crowd is connected") => {}
            () = say_more_and_more(&mut crowd) => {}
        }
        // Each of those addresses has used up its part; others have not.
        let mut refused = connect_from(1, to).await.unwrap();
        let mut said = String::new();
        refused.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("retry-after: 1"), "{said}");
        drop(crowd);
        until_there_are_places(size, to).await;
        sound.goes_on("the crowd has left").await;
        if flooding.is_over() {
            break;
        }
    }
    assert!(sound.ended_well().await > 0);
    assert_stayed_small(&server, "crowds were connected");
}

/// All places are taken by addresses that have many, each of which sends a body that never ends. Whoever has none gets one.
#[tokio::test]
async fn those_who_take_all_places_keep_no_revoke_out_that_comes_from_elsewhere() {
    let server = Server::start_with("http.connections-max: 64\nhttp.connections-per-address-max: 32\n");
    let t = Transcript::of(&server);
    let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
    let token = t.quietly(Method::POST, TOKENS, As::Admin, order).await;
    let to = address(&server);
    let mut crowd = Vec::new();
    for number in 0..80 {
        let mut client = connect_from(1 + number % 2, to).await.unwrap();
        let asks = b"POST /access/api/v1/tokens HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n{";
        // Who finds no place may be hung up on before it has asked.
        let _ = client.write_all(asks).await;
        crowd.push(client);
    }
    let (id, bearer) = (token.field("token_id"), token.field("access_token"));
    let mut revoking = connect_from(3, to).await.unwrap();
    let asks = format!(
        "DELETE {TOKENS}/{id} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\nconnection: close\r\n\r\n"
    );
    revoking.write_all(asks.as_bytes()).await.unwrap();
    let mut said = String::new();
    revoking.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    drop(crowd);
}

/// From how many addresses so many come, each of which uses up its part.
fn addresses(size: usize) -> usize {
    size / CLIENTS_PER_ADDRESS
}

async fn crowd(size: usize, to: SocketAddr) -> Vec<tokio::net::TcpStream> {
    let mut crowd = Vec::with_capacity(size);
    for number in 0..size {
        let from = u8::try_from(number % addresses(size)).unwrap() + 1;
        let mut client = connect_from(from, to).await.unwrap();
        let says: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /circlet/v1/verify HTTP/1.1\r\nhost: x\r\nx-half: ",
            _ => b"POST /access/api/v1/tokens HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n{\"a\":",
        };
        client.write_all(says).await.unwrap();
        crowd.push(client);
    }
    crowd
}

/// Those who have begun to ask go on with it, by one byte each.
async fn say_more(crowd: &mut [tokio::net::TcpStream]) {
    for client in
        crowd.iter_mut().enumerate().filter_map(|(number, client)| (number % 3 > 0).then_some(client))
    {
        // The node may have lost patience with it.
        let _ = client.write_all(b"a").await;
    }
}

/// So slowly that they never come to an end.
async fn say_more_and_more(crowd: &mut [tokio::net::TcpStream]) {
    loop {
        say_more(crowd).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Until those of whom an address had too many are served again, each of the addresses.
async fn until_there_are_places(size: usize, to: SocketAddr) {
    let begun = Instant::now();
    for from in (1..).take(addresses(size)) {
        loop {
            let mut client = connect_from(from, to).await.unwrap();
            let asks = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            // A node that has no place may hang up before it is asked.
            let _ = client.write_all(asks).await;
            let mut said = String::new();
            let read = client.read_to_string(&mut said).await;
            if read.is_ok() && said.starts_with("HTTP/1.1 200 ") {
                break;
            }
            assert!(begun.elapsed() < DEADLINE, "places are not given back: {said}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Garbage on the wire, in place of tokens, and as passwords.
#[tokio::test]
async fn floods_of_garbage_and_of_wrong_passwords_take_little_memory_and_keep_no_token_out() {
    let server = limited("");
    let t = Transcript::of(&server);
    let sound = SoundClient::start(&server).await;
    let to = address(&server);
    let flooding = Flooding::begin();
    loop {
        // For as long as it takes the client that others must not keep out to be served often enough meanwhile.
        let before = sound.done();
        while !sound.has_gone_on(before) {
            tokio::task::spawn_blocking(move || pour_garbage(to)).await.unwrap();
            sound.assert_well("garbage comes");
        }
        let before = sound.done();
        while !sound.has_gone_on(before) {
            guess(&t).await;
            sound.assert_well("passwords are guessed");
        }
        let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
        let known = t.quietly(Method::POST, TOKENS, As::Admin, order).await;
        let path = format!("{TOKENS}/{}", known.field("token_id"));
        let bearer = As::Bearer(known.field("access_token"));
        let revoked = t.quietly(Method::DELETE, &path, bearer, Body::Empty).await;
        assert_eq!(revoked.status, 200, "a token revokes from where passwords are guessed: {}", revoked.text);
        if flooding.is_over() {
            break;
        }
    }
    assert!(sound.ended_well().await > 0);
    assert_stayed_small(&server, "garbage and guesses came");
}

/// Wrong passwords and what is no token, all at once.
async fn guess(t: &Transcript<'_>) {
    let guesses = (0..400).map(|number| {
        let bearer = As::Bearer(format!("eyJ{number}.{}.x", "A".repeat(2_000)));
        let who = if number % 2 == 0 { As::Password("admin", "wrong") } else { bearer };
        t.quietly(Method::GET, "/circlet/v1/verify", who, Body::Empty)
    });
    let answers = futures::future::join_all(guesses).await;
    for answer in &answers {
        assert!(matches!(answer.status.as_u16(), 401 | 429), "{}", answer.text);
    }
    let slowed: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!slowed.is_empty(), "whoever guesses is told to wait");
    assert!(slowed.iter().all(|answer| answer.headers.contains_key("retry-after")));
}

fn pour_garbage(to: SocketAddr) {
    let garbage: Vec<u8> = (0..=255_u8).cycle().map(|byte| byte.wrapping_mul(167)).take(100_000).collect();
    for part in 0..300 {
        let mut client = TcpStream::connect(to).unwrap();
        client.set_read_timeout(Some(DEADLINE)).unwrap();
        // The node may hang up before all of it is sent.
        let _ = client.write_all(&garbage[part * 7..]);
        let _ = client.shutdown(std::net::Shutdown::Write);
        let _ = client.read_to_end(&mut Vec::new());
    }
}

/// One owner that creates without end meets a limit; what it revokes makes room.
#[tokio::test]
async fn one_owner_can_create_so_many_tokens_and_revoke_them_all() {
    let server = limited("");
    let t = Transcript::of(&server);
    let path = "/circlet/v1/config/limits.recorded-tokens-per-owner-max";
    let set = t.quietly(Method::PUT, path, As::Admin, Body::Json(json!({"value": OWNED_MAX}))).await;
    assert_eq!(set.status, 200, "{}", set.text);
    // The token of its own that would count is revoked by now.
    let sound = SoundClient::start(&server).await;
    let create = async || {
        let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
        t.quietly(Method::POST, TOKENS, As::Admin, order).await
    };
    let flooding = Flooding::begin();
    loop {
        let mut ids = Vec::new();
        let refused = loop {
            let made = create().await;
            if made.status != 200 {
                break made;
            }
            ids.push(made.field("token_id"));
            assert!(ids.len() <= OWNED_MAX, "there is a limit");
        };
        assert_eq!((refused.status.as_u16(), ids.len()), (409, OWNED_MAX), "{}", refused.text);
        assert!(refused.text.contains("limit"), "{}", refused.text);
        sound.goes_on("the limit is reached").await;
        for id in ids {
            let path = format!("{TOKENS}/{id}");
            let revoked = t.quietly(Method::DELETE, &path, As::Admin, Body::Empty).await;
            assert_eq!(revoked.status, 200, "no limit refuses a revoke: {}", revoked.text);
        }
        if flooding.is_over() {
            break;
        }
    }
    assert_eq!(create().await.status, 200, "what was revoked makes room");
    assert!(sound.ended_well().await > 0);
    assert_stayed_small(&server, "an owner has created up to its limit");
}
