//! Asking a node of another cluster: only hosts that a person approved, no redirects, no more bytes and no longer than
//! said.

use std::time::Duration;

use crate::certificates;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A part of an answer that takes longer is given up.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// It couldn't be reached, or said nothing in time.
    #[error("{0}")]
    Unreachable(#[from] reqwest::Error),
    /// It answered with another status than 200.
    #[error("it answered {status}: {body}")]
    Status {
        /// The status.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// It said more than it may.
    #[error("it said more than {max} bytes")]
    TooMuch {
        /// What it may say.
        max: usize,
    },
}

/// A client that accepts what this CA signed, and what the system trusts.
pub(crate) fn client(ca_certificate_der: &[u8]) -> Result<reqwest::Client, Unanswered> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        // Nobody but the hosts that were approved.
        .no_proxy()
        .user_agent(concat!("circlet/", env!("CARGO_PKG_VERSION")));
    if !ca_certificate_der.is_empty() {
        let pem = certificates::certificate_pem(ca_certificate_der);
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem(pem.as_bytes()));
    }
    Ok(builder.build()?)
}

/// Sends a request and reads at most `max` bytes of the answer, within `deadline` in all.
pub(crate) async fn read(
    request: reqwest::RequestBuilder,
    max: usize,
    deadline: Duration,
) -> Result<Vec<u8>, Unanswered> {
    let mut response = request.timeout(deadline).send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > max {
            return Err(Unanswered::TooMuch { max });
        }
        body.extend_from_slice(&chunk);
    }
    if status.as_u16() == 200 {
        return Ok(body);
    }
    let body: String = String::from_utf8_lossy(&body).chars().take(SAID_CHARS_MAX).collect();
    Err(Unanswered::Status { status: status.as_u16(), body })
}

/// What is repeated of an answer that is none.
const SAID_CHARS_MAX: usize = 300;
