//! Answers: a status, a few headers, a body that is in memory.

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

/// What an answer with all our headers takes, so that the map grows once.
const HEADERS_USUAL: usize = 12;

/// What most bodies take, so that the buffer seldom grows.
const BODY_BYTES_USUAL: usize = 512;

/// The log index of a write, in its answer; in a request, the least that the answering node must have applied.
pub(crate) const X_CIRCLET_INDEX: HeaderName = HeaderName::from_static("x-circlet-index");

/// What an administrator should know about a request that was served.
pub(crate) const X_CIRCLET_WARNING: HeaderName = HeaderName::from_static("x-circlet-warning");

/// 200 with `value` as JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    json_status(StatusCode::OK, value)
}

/// `value` as JSON with this status.
pub(crate) fn json_status(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = Vec::with_capacity(BODY_BYTES_USUAL);
    serde_json::to_writer(&mut body, value).expect("wire types have text keys and no failing serializers");
    build(status, "application/json", Bytes::from(body))
}

/// A JSON value with this status.
pub(crate) fn json_value(status: StatusCode, value: &Value) -> Response {
    build(status, "application/json", Bytes::from(value.to_string()))
}

/// 200 with this text, which is JSON.
pub(crate) fn json_text(body: &'static str) -> Response {
    build(StatusCode::OK, "application/json", Bytes::from_static(body.as_bytes()))
}

/// 200 with exactly this text.
pub(crate) fn text(body: impl Into<Bytes>) -> Response {
    build(StatusCode::OK, "text/plain", body.into())
}

/// 200 with this body, of a type that is neither plain text nor JSON.
pub(crate) fn with_type(body: impl Into<Bytes>, content_type: &'static str) -> Response {
    build(StatusCode::OK, content_type, body.into())
}

/// A status without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// The same answer, with the log index that the write was decided at.
pub(crate) fn at_index(mut response: Response, index: u64) -> Response {
    response.headers_mut().insert(X_CIRCLET_INDEX, HeaderValue::from(index));
    response
}

/// The same answer, with a warning for administrators. Characters that a header can't hold are replaced.
pub(crate) fn with_warning(mut response: Response, warning: Option<&str>) -> Response {
    if let Some(text) = warning {
        let visible: String = text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).collect();
        let value = HeaderValue::from_str(&visible).expect("visible ASCII is a header value");
        response.headers_mut().insert(X_CIRCLET_WARNING, value);
    }
    response
}

fn build(status: StatusCode, content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(HEADERS_USUAL);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Answers carry tokens or say whether one counts: no cache may keep them (RFC 6749 section 5.1).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
