//! Requests to a node, with answers whose status decides nothing by itself.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

const VERIFY: &str = "/circlet/v1/verify";

/// What the caller shows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Auth<'a> {
    /// Nothing.
    Nobody,
    /// A token.
    Token(&'a str),
    /// A name and a password.
    Password(&'a str, &'a str),
}

/// Who was told "not now" asks again after this.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// And so on for this long: on a busy machine nodes lose their leader, or can't prove that they are fresh, for a while.
const PATIENCE: Duration = Duration::from_mins(2);

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The request had to be repeated: what it asked for may have been done the first time.
    pub(crate) was_repeated: bool,
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) text: String,
}

/// The body of a request.
#[derive(Debug, Clone)]
pub(crate) enum Body<'a> {
    /// None.
    Empty,
    /// A form.
    Form(&'a [(&'a str, &'a str)]),
    /// JSON.
    Json(Value),
}

/// A node as its clients see it.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    url: String,
    client: reqwest::Client,
}

impl Endpoint {
    pub(crate) fn new(url: &str) -> Self {
        // The TLS library wants its cryptography named once for the process; a second time changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_mins(1))
            // Whoever runs the tests may live behind one.
            .no_proxy()
            .build()
            .expect("a client without special wishes");
        Self { url: url.to_owned(), client }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request once; an error only if there is no answer at all.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        auth: Auth<'_>,
        body: Body<'_>,
    ) -> Result<Answer, String> {
        self.send_with(&[], method, path, auth, body).await
    }

    /// Sends a request until the answer is another than "not now".
    pub(crate) async fn ask(&self, method: Method, path: &str, auth: Auth<'_>, body: Body<'_>) -> Answer {
        self.ask_with(&[], method, path, auth, body).await
    }

    /// The same with more headers.
    pub(crate) async fn ask_with(
        &self,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        auth: Auth<'_>,
        body: Body<'_>,
    ) -> Answer {
        let begun = Instant::now();
        let mut was_repeated = false;
        loop {
            let sent = self.send_with(headers, method.clone(), path, auth, body.clone()).await;
            let answer = sent.unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.url));
            if answer.status != 503 || begun.elapsed() > PATIENCE {
                return Answer { was_repeated, ..answer };
            }
            was_repeated = true;
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }

    /// Sends a request once, with more headers.
    pub(crate) async fn send_with(
        &self,
        headers: &[(&str, &str)],
        method: Method,
        path: &str,
        auth: Auth<'_>,
        body: Body<'_>,
    ) -> Result<Answer, String> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        request = match auth {
            Auth::Nobody => request,
            Auth::Token(token) => request.bearer_auth(token),
            Auth::Password(name, password) => request.basic_auth(name, Some(password)),
        };
        request = match body {
            Body::Empty => request,
            Body::Form(form) => request.form(form),
            Body::Json(json) => request.json(&json),
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer { was_repeated: false, status, text })
    }

    pub(crate) async fn get(&self, path: &str, auth: Auth<'_>) -> Answer {
        self.ask(Method::GET, path, auth, Body::Empty).await
    }

    pub(crate) async fn post(&self, path: &str, auth: Auth<'_>, body: Body<'_>) -> Answer {
        self.ask(Method::POST, path, auth, body).await
    }

    pub(crate) async fn put(&self, path: &str, auth: Auth<'_>, body: Body<'_>) -> Answer {
        self.ask(Method::PUT, path, auth, body).await
    }

    /// What a node thinks of a token, once it can tell.
    pub(crate) async fn verify(&self, token: &str) -> Answer {
        self.get(VERIFY, Auth::Token(token)).await
    }

    /// What a node says of a token at the first time of asking.
    pub(crate) async fn verify_once(&self, token: &str) -> Result<Answer, String> {
        self.send(Method::GET, VERIFY, Auth::Token(token), Body::Empty).await
    }
}

impl Answer {
    /// Something was revoked: by this very request, unless it had to be repeated.
    #[track_caller]
    pub(crate) fn assert_revoked(&self) {
        let done = self.status == 200 || (self.was_repeated && self.status == 204);
        assert!(done, "{} {}", self.status, self.text);
    }

    /// The body of an answer that must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        serde_json::from_str(&self.text).unwrap_or(Value::String(self.text))
    }

    /// The text under a key of the JSON body.
    #[track_caller]
    pub(crate) fn member(&self, key: &str) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let member = body[key].as_str();
        member.unwrap_or_else(|| panic!("no `{key}` in {} {}", self.status, self.text)).to_owned()
    }
}
