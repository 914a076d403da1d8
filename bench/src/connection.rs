//! One HTTP/1.1 connection that stays open: what a well-behaved client has.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// No single request may take longer; a slower one counts as failed.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A request before it has a connection.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// A bearer token, if any.
    pub(crate) bearer: Option<String>,
    /// The body and its media type, if any.
    pub(crate) body: Option<(&'static str, Bytes)>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// The whole body.
    pub(crate) body: Bytes,
}

/// Why a call got no reply.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection.
    #[error("cannot connect to {authority}")]
    Connect {
        /// The node.
        authority: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The request is malformed; a defect of this program.
    #[error("the request is malformed")]
    Request(#[from] hyper::http::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("no answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

/// A connection to one node; reconnects by itself after an error.
#[derive(Debug)]
pub(crate) struct Connection {
    authority: String,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection to `host:port`; opened by the first call.
    pub(crate) fn to(authority: &str) -> Self {
        Self { authority: authority.to_owned(), sender: None }
    }

    /// Sends one call and reads the whole reply. After an error the next call opens a new connection.
    pub(crate) async fn send(&mut self, call: &Call) -> Result<Reply, CallError> {
        let outcome = match tokio::time::timeout(REQUEST_TIMEOUT, self.exchange(call)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(CallError::Timeout),
        };
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn exchange(&mut self, call: &Call) -> Result<Reply, CallError> {
        let mut request =
            Request::builder().method(&call.method).uri(&call.path).header(HOST, &self.authority);
        if let Some(token) = &call.bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let mut body = Bytes::new();
        if let Some((media_type, bytes)) = &call.body {
            request = request.header(CONTENT_TYPE, *media_type);
            body = bytes.clone();
        }
        let request = request.body(Full::new(body))?;
        let sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => self.sender.insert(sender),
            _ => self.sender.insert(open(&self.authority).await?),
        };
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Reply { status, body })
    }
}

async fn open(authority: &str) -> Result<SendRequest<Full<Bytes>>, CallError> {
    let connect = |source| CallError::Connect { authority: authority.to_owned(), source };
    let stream = TcpStream::connect(authority).await.map_err(connect)?;
    stream.set_nodelay(true).map_err(connect)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends by itself when the sender is dropped; its error is what the sender reports.
    tokio::spawn(connection);
    Ok(sender)
}
