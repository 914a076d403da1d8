//! What was asked and answered, as text that is the same in every run.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use circlet_token::TokenId;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::server::{PASSWORD, Server};

/// Who was told "not now" asks again after this, and so on for so long.
const RETRY_AFTER: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_mins(2);
/// What a 503 says that a test has brought about: an index that is far away, a cluster that is not there or gives no answer,
/// a full disk under the audit log.
const WANTED: [&str; 7] = [
    "this node has applied",
    "member_unreachable",
    "the issuer can't be reached",
    "the audit log of this node",
    "this node is short of",
    "\"condition\":\"disk_full\"",
    "\"condition\":\"memory_tight\"",
];

/// Fields whose values differ between runs.
const VARYING: [&str; 41] = [
    "master_key",
    "signing_key",
    "fingerprint",
    "former",
    "expires",
    "wall_ms",
    "token_id",
    "access_token",
    "refresh_token",
    "reference_token",
    "request_id",
    "issued_at",
    "expiry",
    "index",
    "applied_index",
    "view_age_ms",
    "revoked-token-id",
    "revoked_token_id",
    "kid",
    "expires_at",
    "revision",
    "applied",
    "last_log",
    "term",
    "matched",
    "clock_offset_ms",
    "peer",
    "url",
    "token",
    "since",
    "age",
    "certificate",
    "unconfirmed",
    "waits",
    "circle_key",
    "challenge",
    "invitation",
    "last_contact",
    "age_ms",
    "proof",
    "at",
];
/// Headers that belong to the contract.
const HEADERS: [&str; 11] = [
    "allow",
    "retry-after",
    "www-authenticate",
    "x-circlet-warning",
    "x-circlet-subject",
    "x-circlet-user",
    "x-circlet-groups",
    "x-circlet-admin",
    "x-circlet-revocable",
    "location",
    "x-circlet-index",
];

/// A credential to send.
#[derive(Debug, Clone)]
pub(crate) enum As {
    Nobody,
    Admin,
    Password(&'static str, &'static str),
    Bearer(String),
    TokenAsPassword(&'static str, String),
    ApiKey(String),
}

/// A body to send.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    Form(String),
    Raw(&'static str, Vec<u8>),
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// What the text was made from, for answers that are none.
    pub(crate) bytes: Vec<u8>,
    pub(crate) headers: reqwest::header::HeaderMap,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A text field of the body.
    pub(crate) fn field(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.text)).to_owned()
    }
}

/// The transcript of one test.
pub(crate) struct Transcript<'a> {
    pub(crate) server: &'a Server,
    client: reqwest::Client,
    text: String,
    /// Values that were seen in answers, and what stands for them.
    known: Vec<(String, String)>,
}

impl<'a> Transcript<'a> {
    /// An empty transcript.
    pub(crate) fn of(server: &'a Server) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let known = vec![(server.service_id.clone(), "<service-id>".to_owned())];
        // Whoever runs the tests may live behind a proxy.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { server, client, text: String::new(), known }
    }

    /// A line of explanation.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.text, "# {text}");
    }

    /// Names a value that differs between runs, in requests and answers to come.
    pub(crate) fn name(&mut self, value: &str, name: &str) {
        self.known.push((value.to_owned(), format!("<{name}>")));
    }

    /// The whole text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Asks without writing it down.
    pub(crate) async fn quietly(&self, method: Method, path: &str, who: As, body: Body) -> Answer {
        self.with_headers(method, path, who, body, &[]).await
    }

    /// Asks, and writes down what was asked and answered.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, who: As, body: Body) -> Answer {
        self.ask_with(method, path, who, body, &[]).await
    }

    /// The same, with more headers.
    pub(crate) async fn ask_with(
        &mut self,
        method: Method,
        path: &str,
        who: As,
        body: Body,
        headers: &[(&str, &str)],
    ) -> Answer {
        let asked = asked(&method, path, &who, &body, headers);
        let answer = self.with_headers(method, path, who, body, headers).await;
        let shown = body_of(&answer);
        self.write(&asked, &answer, "", &shown);
        answer
    }

    /// Asks for what is not for eyes, and writes down what a reader makes of it, with the type that it was sent as. A refusal
    /// is written down as it is.
    pub(crate) async fn ask_read(
        &mut self,
        method: Method,
        path: &str,
        who: As,
        body: Body,
        read: impl Fn(&Answer) -> String,
    ) -> Answer {
        let asked = asked(&method, path, &who, &body, &[]);
        let answer = self.quietly(method, path, who, body).await;
        let sent_as = answer.headers["content-type"].to_str().unwrap().to_owned();
        if answer.status.is_success() {
            self.write(&asked, &answer, &format!(" [content-type: {sent_as}]"), &read(&answer));
        } else {
            self.write(&asked, &answer, "", &body_of(&answer));
        }
        answer
    }

    /// Writes down that something was answered with this status, and no more of it.
    pub(crate) fn tell(&mut self, asked: &str, status: StatusCode) {
        let _ = writeln!(self.text, "> {asked}\n< {}\n", status.as_u16());
    }

    fn write(&mut self, asked: &str, answer: &Answer, further: &str, body: &str) {
        let mut shown = format!("{asked}\n< {}", answer.status.as_u16());
        for name in HEADERS {
            if let Some(value) = answer.headers.get(name) {
                let value = if name == "x-circlet-index" { "<index>" } else { value.to_str().unwrap() };
                let _ = write!(shown, " [{name}: {value}]");
            }
        }
        shown.push_str(further);
        // Lines of their own only after names have taken the place of what has lines.
        for line in self.redact(body).lines() {
            let _ = write!(shown, "\n< {line}");
        }
        let shown = self.redact(&shown);
        let _ = writeln!(self.text, "{shown}\n");
    }

    /// Asks with more headers, without writing it down.
    pub(crate) async fn with_headers(
        &self,
        method: Method,
        path: &str,
        who: As,
        body: Body,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.server.url));
        request = match who {
            As::Nobody => request,
            As::Admin => request.basic_auth("admin", Some(PASSWORD)),
            As::Password(name, password) => request.basic_auth(name, Some(password)),
            As::Bearer(token) => request.bearer_auth(token),
            As::TokenAsPassword(name, token) => request.basic_auth(name, Some(token)),
            As::ApiKey(token) => request.header("X-JFrog-Art-Api", token),
        };
        request = match body {
            Body::Empty => request,
            Body::Json(value) => request.json(&value),
            Body::Form(text) => {
                request.header("content-type", "application/x-www-form-urlencoded").body(text)
            }
            Body::Raw(content_type, bytes) => request.header("content-type", content_type).body(bytes),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let begun = Instant::now();
        loop {
            let response = request.try_clone().unwrap().send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            assert!(headers.contains_key("x-request-id"), "every answer has an id");
            let bytes = response.bytes().await.unwrap().to_vec();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            // On a busy machine even a lone node can't decide now and then, or not prove that it is fresh.
            let wanted = WANTED.iter().any(|reason| text.contains(reason));
            let not_now = status == StatusCode::SERVICE_UNAVAILABLE && !wanted;
            if !not_now || begun.elapsed() > PATIENCE {
                return Answer { status, text, bytes, headers };
            }
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// The text with the names of what differs between runs.
    pub(crate) fn redact(&self, text: &str) -> String {
        // The latest name goes first: a value may be contained in a later one.
        let named =
            self.known.iter().rev().fold(text.to_owned(), |text, (value, name)| text.replace(value, name));
        anonymous(&named)
    }
}

/// Ids that were drawn and times in seconds, wherever they stand in a sentence.
fn anonymous(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
        let (head, tail) = rest.split_at(word.max(first.len_utf8()));
        let digits = head.bytes().all(|byte| byte.is_ascii_digit());
        // Tests send this id themselves.
        if TokenId::parse(head).is_ok() && !head.starts_with("6b1c8d8e") {
            kept.push_str("<uuid>");
        } else if digits && head.len() == 10 {
            kept.push_str("<time>");
        } else {
            kept.push_str(head);
        }
        rest = tail;
    }
    kept
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                let sometimes_null = matches!(name.as_str(), "clock_offset_ms" | "matched" | "age_ms");
                // The first node's id is 1, that of a later one the log entry that admitted it.
                let later_node = name == "id" && value.as_u64().is_some_and(|id| id > 1);
                if later_node || VARYING.contains(&name.as_str()) && (sometimes_null || !value.is_null()) {
                    *value = format!("<{name}>").into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        _ => {}
    }
}

/// The line that says what is asked.
fn asked(method: &Method, path: &str, who: &As, body: &Body, headers: &[(&str, &str)]) -> String {
    let mut line = format!("> {method} {path} as {}", describe(who));
    for (name, value) in headers {
        let _ = write!(line, " [{name}: {value}]");
    }
    match body {
        Body::Empty => {}
        Body::Json(value) => {
            let _ = write!(line, " {value}");
        }
        Body::Form(text) => {
            let _ = write!(line, " {text}");
        }
        Body::Raw(content_type, bytes) => {
            let shown: String = String::from_utf8_lossy(bytes).chars().take(60).collect();
            let _ = write!(line, " ({content_type}, {} bytes) {shown}", bytes.len());
        }
    }
    line
}

/// The body as it is written down.
fn body_of(answer: &Answer) -> String {
    match serde_json::from_str::<Value>(&answer.text) {
        Ok(mut value) if value.is_object() || value.is_array() => {
            mask(&mut value);
            value.to_string()
        }
        _ => answer.text.clone(),
    }
}

fn describe(who: &As) -> String {
    match who {
        As::Nobody => "nobody".to_owned(),
        As::Admin => "admin".to_owned(),
        As::Password(name, password) => format!("{name}:{password}"),
        As::Bearer(token) => format!("bearer {token}"),
        As::TokenAsPassword(name, token) => format!("{name}:{token}"),
        As::ApiKey(token) => format!("key {token}"),
    }
}
