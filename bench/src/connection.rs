//! One connection that stays open: what a well-behaved client has. HTTP/1.1, or HTTP/2 as gRPC needs it.

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
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
    /// What gRPC says at the end; `None` where something else is spoken.
    pub(crate) grpc_status: Option<String>,
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// gRPC on HTTP/2 without TLS.
    Grpc,
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
    protocol: Protocol,
    sender: Option<Sender>,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

impl Connection {
    /// A connection to `host:port`; opened by the first call.
    pub(crate) fn to(authority: &str) -> Self {
        Self::speaking(authority, Protocol::Http1)
    }

    /// The same, for a protocol.
    pub(crate) fn speaking(authority: &str, protocol: Protocol) -> Self {
        Self { authority: authority.to_owned(), protocol, sender: None }
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
        let mut request = match self.protocol {
            Protocol::Http1 => Request::builder().uri(&call.path).header(HOST, &self.authority),
            Protocol::Grpc => Request::builder()
                .uri(format!("http://{}{}", self.authority, call.path))
                .header("te", "trailers"),
        };
        request = request.method(&call.method);
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
            _ => self.sender.insert(open(&self.authority, self.protocol).await?),
        };
        let response = sender.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?;
        let grpc_status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
        let grpc_status = grpc_status.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok(Reply { status, body: body.to_bytes(), grpc_status })
    }
}

async fn open(authority: &str, protocol: Protocol) -> Result<Sender, CallError> {
    let connect = |source| CallError::Connect { authority: authority.to_owned(), source };
    let stream = TcpStream::connect(authority).await.map_err(connect)?;
    stream.set_nodelay(true).map_err(connect)?;
    let stream = TokioIo::new(stream);
    // A connection ends by itself when its sender is dropped; its error is what the sender reports.
    match protocol {
        Protocol::Http1 => {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Ok(Sender::Http1(sender))
        }
        Protocol::Grpc => {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Ok(Sender::Http2(sender))
        }
    }
}
