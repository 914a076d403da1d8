//! Requests to a node. No answer is an answer too: it says nothing about what was done.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// A client waits so long at most.
const PATIENCE: Duration = Duration::from_secs(8);

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The log index of the decision, if the answer is to a write.
    pub(crate) index: Option<u64>,
    /// The body, if it is JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// The text under a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.body[key].as_str()
    }

    /// The stable word for why something was refused, where the endpoint says it.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.body["errors"][0]["reason"].as_str()
    }
}

/// What is shown with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shown<'a> {
    /// Nothing.
    Nothing,
    /// A token.
    Token(&'a str),
    /// A name and its password.
    Password(&'a str, &'a str),
}

/// Somebody who asks nodes.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
}

impl Client {
    /// A client without a past.
    pub(crate) fn new() -> Result<Self, String> {
        // The TLS library wants its cryptography named once for the process; a second time changes nothing.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let builder =
            reqwest::Client::builder().timeout(PATIENCE).connect_timeout(Duration::from_secs(2)).no_proxy();
        Ok(Self { http: builder.build().map_err(|error| error.to_string())? })
    }

    /// Sends a request to `url`; `None` if nobody answered.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: String,
        shown: Shown<'_>,
        body: Option<&Value>,
    ) -> Option<Answer> {
        self.send_with(method, url, shown, body, None).await
    }

    /// The same with an `Idempotency-Key`.
    pub(crate) async fn send_with(
        &self,
        method: Method,
        url: String,
        shown: Shown<'_>,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Option<Answer> {
        let mut request: RequestBuilder = self.http.request(method, url);
        request = match shown {
            Shown::Nothing => request,
            Shown::Token(token) => request.bearer_auth(token),
            Shown::Password(name, password) => request.basic_auth(name, Some(password)),
        };
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let index =
            response.headers().get("x-circlet-index").and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.bytes().await.ok()?;
        Some(Answer { status, index, body: serde_json::from_slice(&body).unwrap_or_default() })
    }
}
