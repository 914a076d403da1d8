//! Passwords that are guessed, and those who revoke from where they are: a revoke waits for its turn, and is not refused;
//! and guessing by revoking is no faster than that.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
const VERIFY: &str = "/circlet/v1/verify";
const WATERMARKS: &str = "/circlet/v1/watermarks";
/// So many wrong passwords come from one address before the next has to wait.
const FREE: usize = 20;
/// Then one is looked at in this time.
const PACE: Duration = Duration::from_secs(1);
const RIGHT: &str = "correct horse battery staple";
const DEADLINE: Duration = Duration::from_mins(2);

/// Loopback has many addresses to come from.
fn from(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 9, last).into()
}

fn client(last: u8) -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE).local_address(from(last));
    client.build().unwrap()
}

/// The status of a request with a password, and what is said.
async fn ask(
    (server, client): (&Server, &reqwest::Client),
    (method, path): (Method, &str),
    (user, password): (&str, &str),
    body: Body,
) -> (u16, String) {
    let request = client.request(method, format!("{}{path}", server.url)).basic_auth(user, Some(password));
    let request = match body {
        Body::Json(json) => request.json(&json),
        Body::Form(form) => request.header("content-type", "application/x-www-form-urlencoded").body(form),
        Body::Empty | Body::Raw(..) => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Guesses until the address is told to wait.
async fn guess_too_much(server: &Server, client: &reqwest::Client) {
    let begun = Instant::now();
    loop {
        let guesses = (0..FREE).map(|number| async move {
            let user = format!("guess{number}");
            ask((server, client), (Method::GET, VERIFY), (&user, "wrong"), Body::Empty).await.0
        });
        if join_all(guesses).await.iter().all(|status| *status == 429) {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "an address that guesses is told to wait");
    }
}

/// An administrator whose password nobody has shown yet.
async fn administrator(t: &Transcript<'_>, name: &str) {
    let user = json!({"email": "a@example.org", "password": RIGHT, "admin": true});
    let path = format!("/artifactory/api/security/users/{name}");
    let made = t.quietly(Method::PUT, &path, As::Admin, Body::Json(user)).await;
    assert!(matches!(made.status.as_u16(), 200 | 201), "{}", made.text);
}

/// Each way of taking tokens away, by somebody who has not logged in yet, from an address where many were guessed.
#[tokio::test]
async fn a_right_password_revokes_from_where_many_were_guessed() {
    let server = Server::start();
    let t = Transcript::of(&server);
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
        tokens.push(t.quietly(Method::POST, TOKENS, As::Admin, order).await);
    }
    let by_id = format!("{TOKENS}/{}", tokens[0].field("token_id"));
    let value = |number: usize| Body::Form(format!("token={}", tokens[number].field("access_token")));
    let everyone = Body::Json(json!({"everyone": true}));
    let ways = [
        (Method::DELETE, by_id.as_str(), Body::Empty),
        (Method::DELETE, "/access/api/v1/tokens/revoke", value(1)),
        (Method::POST, "/artifactory/api/security/token/revoke", value(2)),
        (Method::DELETE, "/access/api/v2/users/owner0", Body::Empty),
        (Method::POST, WATERMARKS, everyone),
        (Method::POST, "/circlet/v1/keys/active/taint", Body::Empty),
    ];
    for number in 0..ways.len() {
        administrator(&t, &format!("owner{number}")).await;
    }
    let here = client(1);
    for (number, (method, path, body)) in ways.into_iter().enumerate() {
        guess_too_much(&server, &here).await;
        let name = format!("owner{number}");
        let who = (name.as_str(), RIGHT);
        let (status, said) = ask((&server, &here), (Method::GET, VERIFY), who, Body::Empty).await;
        assert_eq!(status, 429, "it is not looked at for anything else: {said}");
        let (status, said) = ask((&server, &here), (method.clone(), path), who, body).await;
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {said}");
    }
}

/// However many are sent at once: only so many are free, and the rest comes one a second.
#[tokio::test]
async fn guessing_by_revoking_is_no_faster_than_one_a_second() {
    const PACED: u32 = 4;
    let server = Server::start();
    let here = client(2);
    let begun = Instant::now();
    let guesses = (0..FREE + PACED as usize).map(|number| {
        let (server, here) = (&server, &here);
        async move {
            let user = format!("guess{number}");
            let path = (Method::DELETE, "/access/api/v1/tokens/e1b5a3f0-0000-4000-8000-000000000000");
            ask((server, here), path, (&user, "wrong"), Body::Empty).await
        }
    });
    for (status, said) in join_all(guesses).await {
        assert_eq!(status, 401, "each is looked at: {said}");
    }
    assert!(begun.elapsed() >= PACE * PACED, "{:?}", begun.elapsed());
    let paced = Instant::now();
    for number in 0..2 {
        let user = format!("more{number}");
        let (status, said) =
            ask((&server, &here), (Method::POST, WATERMARKS), (&user, "wrong"), Body::Empty).await;
        assert_eq!(status, 401, "{said}");
    }
    assert!(paced.elapsed() >= PACE, "{:?}", paced.elapsed());
}

/// One of the lines of the page of metrics.
async fn metric(t: &Transcript<'_>, series: &str) -> f64 {
    let page = t.quietly(Method::GET, "/metrics", As::Admin, Body::Empty).await.text;
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}: {page}")).parse().unwrap()
}

/// Waits until it is so.
async fn until(t: &Transcript<'_>, what: &str, series: &str, is: impl Fn(f64) -> bool) {
    let begun = Instant::now();
    loop {
        let now = metric(t, series).await;
        if is(now) {
            return;
        }
        assert!(begun.elapsed() < DEADLINE, "{what}: {series} is {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn connect(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from(last), 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

/// Those who wait hold nothing that others need, and who goes away gives up its place.
#[tokio::test]
async fn revokes_that_wait_keep_nobody_out_and_are_forgotten_when_they_are_given_up() {
    const OF_ADDRESS: usize = 32;
    /// So many come from elsewhere, at once: far more than are answered in a moment.
    const NEWCOMERS: usize = 20;
    const CROWD_HALF: f64 = 32.0;
    /// Some of the crowd are looked at at once, and some give their place to who reads the metrics.
    const CROWD_MOST: f64 = 48.0;
    const QUEUED: &str = "circlet_passwords_queued{of=\"revokes\"}";
    let server = Server::start_with("http.connections-max: 64\nhttp.connections-per-address-max: 32\n");
    let t = Transcript::of(&server);
    let order = Body::Json(json!({"expires_in": 7200, "force_revocable": true}));
    let token = t.quietly(Method::POST, TOKENS, As::Admin, order).await;
    let to: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    for address in [3, 4] {
        guess_too_much(&server, &client(address)).await;
    }
    let wrong = metric(&t, "circlet_rejects_total{reason=\"bad_credentials\"}").await;
    until(&t, "those who guessed have gone", "circlet_http_connections", |open| open < 2.0).await;
    drop(t);
    let asks = format!(
        "DELETE {TOKENS}/e1b5a3f0-0000-4000-8000-000000000000 HTTP/1.1\r\nhost: x\r\nauthorization: Basic Z3Vlc3M6d3Jvbmc=\r\n\r\n"
    );
    let mut crowd = Vec::new();
    for number in 0..2 * OF_ADDRESS {
        let mut client = connect(if number % 2 == 0 { 3 } else { 4 }, to).await;
        // Who finds no place may be hung up on before it has asked.
        let _ = client.write_all(asks.as_bytes()).await;
        crowd.push(client);
    }
    let t = Transcript::of(&server);
    until(&t, "the places are those of the crowd", QUEUED, |waiting| waiting >= CROWD_MOST).await;
    drop(t);
    let bearer = token.field("access_token");
    let mut newcomers = Vec::new();
    for _ in 0..NEWCOMERS {
        newcomers.push(connect(5, to).await);
    }
    let asks = format!("GET {VERIFY} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {bearer}\r\n\r\n");
    for newcomer in &mut newcomers {
        newcomer.write_all(asks.as_bytes()).await.unwrap();
        let mut said = [0; b"HTTP/1.1 200 ".len()];
        let read = newcomer.read_exact(&mut said).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(
            read.is_ok() && said == "HTTP/1.1 200 ",
            "those who wait let others have their place: {said}"
        );
    }
    drop(newcomers);

    let t = Transcript::of(&server);
    assert!(metric(&t, QUEUED).await > 0.0, "they wait");
    drop(crowd);
    until(&t, "nobody waits any more", QUEUED, |waiting| waiting == 0.0).await;
    let looked_at = metric(&t, "circlet_rejects_total{reason=\"bad_credentials\"}").await - wrong;
    assert!(looked_at < CROWD_HALF, "{looked_at} of the crowd were looked at");
}
