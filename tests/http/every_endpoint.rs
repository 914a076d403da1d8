//! What any endpoint may refuse a request for, asked of each that the document lists: its transcript has the statuses alone,
//! since what is said with them is in `error_codes.snap`, in every shape.

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

/// More than a body may have.
const LARGE: usize = 300 * 1024;
/// Wrong passwords after which an address must pause, for a minute.
const GUESSES: usize = 40;
const DEADLINE: Duration = Duration::from_mins(2);

/// One operation of the document.
struct Endpoint {
    method: Method,
    /// The path, with a name in each place for one.
    path: String,
    /// The statuses that it may answer with.
    statuses: Vec<String>,
}

impl Endpoint {
    fn may(&self, status: u16) -> bool {
        self.statuses.iter().any(|listed| *listed == status.to_string())
    }

    /// Whether it looks at a credential.
    fn asks_who(&self) -> bool {
        self.may(401)
    }
}

fn endpoints(document: &Value) -> Vec<Endpoint> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            let named =
                |part: &str| if part.starts_with('{') { "nobody".to_owned() } else { part.to_owned() };
            Endpoint {
                method: method.to_uppercase().parse().unwrap(),
                path: path.split('/').map(named).collect::<Vec<_>>().join("/"),
                statuses: operation["responses"].as_object().unwrap().keys().cloned().collect(),
            }
        })
    });
    all.collect()
}

/// Sends the same to each of these, all at once, and writes down that each answers with this status.
async fn each(
    t: &mut Transcript<'_>,
    endpoints: &[Endpoint],
    status: u16,
    (who, body): (As, Body),
    header: Option<(&str, &str)>,
) {
    let asked = endpoints.iter().filter(|endpoint| endpoint.may(status)).map(|endpoint| {
        let (t, who, body) = (&*t, who.clone(), body.clone());
        let headers: Vec<(&str, &str)> = header.into_iter().collect();
        async move {
            let answer = t.with_headers(endpoint.method.clone(), &endpoint.path, who, body, &headers).await;
            (endpoint, answer)
        }
    });
    let answers = join_all(asked).await;
    assert!(!answers.is_empty(), "no endpoint may answer {status}");
    for (endpoint, answer) in answers {
        let Endpoint { method, path, .. } = endpoint;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        let said = answer.json();
        assert!(said["error"].is_string() || said["errors"].is_array(), "{method} {path}: {said}");
        t.tell(&format!("{method} {path}"), answer.status);
    }
}

transcript_test!(refusals_of_every_endpoint, async |t: &mut Transcript<'_>| {
    let document = t.quietly(Method::GET, "/circlet/v1/openapi.json", As::Nobody, Body::Empty).await.json();
    let endpoints = endpoints(&document);
    let (asking, open): (Vec<_>, Vec<_>) = endpoints.into_iter().partition(Endpoint::asks_who);
    t.note("a token that is none");
    each(t, &asking, 401, (As::Bearer("no token".to_owned()), Body::Empty), None).await;
    t.note("the same in the header for keys, whose clients expect another status");
    each(t, &asking, 403, (As::ApiKey("no token".to_owned()), Body::Empty), None).await;
    // Who was right from there before is not held back, whatever others guess.
    assert_eq!(t.quietly(Method::GET, "/circlet/v1/verify", As::Admin, Body::Empty).await.status, 200);
    t.note("a password, from an address that guessed too many");
    let guesses = (0..GUESSES).map(|_| {
        t.quietly(Method::GET, "/circlet/v1/verify", As::Password("nobody", "guessed"), Body::Empty)
    });
    join_all(guesses).await;
    each(t, &asking, 429, (As::Password("nobody", "guessed"), Body::Empty), None).await;
    let endpoints: Vec<_> = asking.into_iter().chain(open).collect();
    t.note("a header that can't be read");
    each(t, &endpoints, 400, (As::Admin, Body::Empty), Some(("x-circlet-index", "soon"))).await;
    t.note("a view that this node doesn't have");
    each(t, &endpoints, 503, (As::Admin, Body::Empty), Some(("x-circlet-index", "9999999999"))).await;
    t.note("a body of another type");
    // Nor can it be read as a form, which one endpoint tries whatever a body is called.
    let xml = Body::Raw("text/xml", b"<token>%</token>".to_vec());
    each(t, &endpoints, 415, (As::Admin, xml), None).await;
    t.note("a body that is too large");
    let large = Body::Raw("application/json", vec![b' '; LARGE]);
    each(t, &endpoints, 413, (As::Admin, large), None).await;
    t.note("a body that doesn't arrive");
    for (endpoint, status) in unfinished(t, &endpoints).await {
        assert_eq!(status, 408, "{} {}", endpoint.method, endpoint.path);
        t.tell(&format!("{} {}", endpoint.method, endpoint.path), StatusCode::REQUEST_TIMEOUT);
    }
});

/// Announces a body to each endpoint that may wait for one, and sends none: what each answers.
async fn unfinished<'a>(t: &Transcript<'_>, endpoints: &'a [Endpoint]) -> Vec<(&'a Endpoint, u16)> {
    let to = t.server.url.strip_prefix("http://").unwrap().to_owned();
    let waiting = endpoints.iter().filter(|endpoint| endpoint.may(408)).map(|endpoint| {
        let head = format!(
            "{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 20\r\n\r\n",
            endpoint.method, endpoint.path
        );
        let to = to.clone();
        async move {
            let mut socket = TcpStream::connect(to).await.unwrap();
            socket.write_all(head.as_bytes()).await.unwrap();
            let mut said = vec![0; b"HTTP/1.1 408".len()];
            tokio::time::timeout(DEADLINE, socket.read_exact(&mut said)).await.unwrap().unwrap();
            let said = String::from_utf8(said).unwrap();
            (endpoint, said.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap())
        }
    });
    join_all(waiting).await
}
