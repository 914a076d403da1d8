//! Receives a request's body, with a bound on its size and on the time that it may take.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CONTENT_LENGTH, HeaderMap};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::usecase::failure::{Code, Failure};

/// The largest body that is read, in bytes: a token pair and a certificate fit many times.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;
/// A body that takes longer to arrive is given up.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Of a body that is too large, this much is still taken off the wire: a client that is cut off while it sends sees
/// a broken connection and never the answer.
const DISCARDED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// And it is waited for this long.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// The whole body, or why not.
pub(crate) async fn receive(headers: &HeaderMap, mut incoming: Body) -> Result<Bytes, Failure> {
    if incoming.is_end_stream() {
        return Ok(Bytes::new());
    }
    let announced: Option<u64> =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        discard(&mut incoming).await;
        return Err(too_large());
    }
    let limited = Limited::new(&mut incoming, BODY_BYTES_MAX);
    match timeout(BODY_TIMEOUT, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            discard(&mut incoming).await;
            Err(too_large())
        }
        Ok(Err(error)) => {
            Err(Failure::bad_request("broken_body", format!("the body could not be read: {error}")))
        }
        Err(_elapsed) => {
            let secs = BODY_TIMEOUT.as_secs();
            Err(Failure::new(
                Code::Timeout,
                "body_timeout",
                format!("the body did not arrive within {secs} s"),
            ))
        }
    }
}

async fn discard(incoming: &mut Body) {
    let mut left = DISCARDED_BYTES_MAX;
    let reading = async {
        while let Some(Ok(frame)) = incoming.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Whether it ends in time or not, the answer is the same.
    let _ = timeout(DISCARD_TIMEOUT, reading).await;
}

fn too_large() -> Failure {
    Failure::new(Code::TooLarge, "body_too_large", format!("the body is larger than {BODY_BYTES_MAX} bytes"))
}
