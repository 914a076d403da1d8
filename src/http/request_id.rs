//! The request's id: in every answer's `X-Request-Id`, in error bodies, logs and audit lines.

use std::fmt;

use axum::http::header::{HeaderMap, HeaderName, HeaderValue};
use circlet_raft::Trace;

use crate::trace::Origin;

/// The header that carries the id, in both directions.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const REQUEST_ID_BYTES_MAX: usize = 64;

/// The id of one request: the client's own if it sent a usable one, the id of its trace if it sent that, and otherwise the
/// last 16 hexadecimal digits of the id of the trace that begins here.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the client's id if it is short and made of letters, digits, `-`, `_`, `.` only: it goes into logs
    /// and audit lines as it is.
    pub(crate) fn of(headers: &HeaderMap, trace: Trace, origin: Origin) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(value) if is_usable(value.as_bytes()) => Self(value.clone()),
            _ => Self::of_trace(trace, origin),
        }
    }

    fn of_trace(trace: Trace, origin: Origin) -> Self {
        let whole = trace.to_string();
        let text = match origin {
            Origin::Client(_) => whole.as_str(),
            Origin::Here => &whole[whole.len() / 2..],
        };
        Self(HeaderValue::from_str(text).expect("hexadecimal digits are a header value"))
    }

    /// As a header value.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("only visible ASCII characters were let in")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn is_usable(bytes: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_id_is_kept_and_any_other_replaced() {
        let trace = Trace { trace_id: *b"0123456789abcdef", span_id: [1; 8], flags: 0 };
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_static("trace-1.a_b"));
        assert_eq!(RequestId::of(&headers, trace, Origin::Client([2; 8])).as_str(), "trace-1.a_b");
        for bad in ["", "two words", "pipe|d", &"x".repeat(65)] {
            headers.insert(X_REQUEST_ID, HeaderValue::from_str(bad).unwrap());
            let id = RequestId::of(&headers, trace, Origin::Here);
            assert_eq!(id.as_str(), "3839616263646566");
            let id = RequestId::of(&headers, trace, Origin::Client([2; 8]));
            assert_eq!(id.as_str(), "30313233343536373839616263646566");
        }
    }
}
