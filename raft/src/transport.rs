//! Connections between nodes: length-delimited frames over mutual TLS 1.3.
//!
//! Whoever connects proves possession of a key, and that key must be the one that the membership records for the id
//! that it claims. Certificates are only wrappers: neither their dates nor their signers count, so that a clock jump
//! isolates nobody. A key that nobody knows may send one frame, a request to join.

mod dial;
mod knock;
mod listen;
mod succession;
mod tls;

pub(crate) use dial::TlsDial;
pub use knock::{Doorkeeper, KnockError, knock};
pub(crate) use listen::{Doorman, Listener, Listening};
pub use succession::announce_succession;
pub(crate) use tls::Credentials;
pub use tls::{Identity, public_key_digest};

use std::pin::Pin;

use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::network::Channel;

/// Frames before a peer has proved who it is, and the requests of strangers, are small.
pub(crate) const GREETING_BYTES_MAX: usize = 64 << 10;

/// The label under which both ends of a session to join derive the same secret (RFC 8446, section 7.5).
pub(crate) const JOIN_LABEL: &[u8] = b"EXPORTER-circlet-join";

type Frames<T> = Framed<T, LengthDelimitedCodec>;

fn frames<T: AsyncRead + AsyncWrite>(stream: T, max: usize) -> Frames<T> {
    LengthDelimitedCodec::builder().max_frame_length(max).new_framed(stream)
}

fn channel<T>(mut frames: Frames<T>, max: usize) -> Channel
where
    T: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
{
    frames.codec_mut().set_max_frame_length(max);
    let (tx, rx) = frames.split();
    Channel { tx: Box::pin(tx) as Pin<Box<_>>, rx: Box::pin(rx) }
}
