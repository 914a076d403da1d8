//! `POST /circlet/v1/backup`: the bytes of a backup, as they are made.

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use futures::StreamExt;
use futures::stream;

use super::answer;
use super::body::Reads;
use super::call::Call;
use crate::secret::Secret;
use crate::usecase::backup::{self, Begun};
use crate::usecase::failure::Failure;

/// Sealed under the passphrase in the body, or under the master key. An answer that breaks off is no backup, which its
/// checksum says.
pub(super) async fn make(call: Call) -> Result<Response, Failure> {
    let session = call.known_session().await?;
    let parameters = call.parameters(Reads::Json)?;
    parameters.only(&["passphrase"])?;
    let passphrase = parameters.text("passphrase")?.map(|text| Secret::from(text.to_owned()));
    let Begun { mut parts, index } = backup::begin(&session, passphrase).await?;
    let parts = stream::poll_fn(move |context| parts.poll_recv(context)).map(|part| part.map(Bytes::from));
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer::at_index(response, index))
}
