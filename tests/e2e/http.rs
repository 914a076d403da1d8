//! Requests to a node, with answers whose status decides nothing by itself.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

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

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
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
            .timeout(Duration::from_secs(10))
            .connect_timeout(Duration::from_secs(2))
            .build()
            .expect("a client without special wishes");
        Self { url: url.to_owned(), client }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request; an error only if there is no answer at all.
    pub(crate) async fn send(
        &self,
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
        let response = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer { status, text })
    }

    pub(crate) async fn get(&self, path: &str, auth: Auth<'_>) -> Answer {
        self.must(Method::GET, path, auth, Body::Empty).await
    }

    pub(crate) async fn post(&self, path: &str, auth: Auth<'_>, body: Body<'_>) -> Answer {
        self.must(Method::POST, path, auth, body).await
    }

    pub(crate) async fn put(&self, path: &str, auth: Auth<'_>, body: Body<'_>) -> Answer {
        self.must(Method::PUT, path, auth, body).await
    }

    /// What a node thinks of a token.
    pub(crate) async fn verify(&self, token: &str) -> Answer {
        self.get("/circlet/v1/verify", Auth::Token(token)).await
    }

    async fn must(&self, method: Method, path: &str, auth: Auth<'_>, body: Body<'_>) -> Answer {
        let answer = self.send(method.clone(), path, auth, body).await;
        answer.unwrap_or_else(|error| panic!("{method} {}{path}: {error}", self.url))
    }
}

impl Answer {
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
