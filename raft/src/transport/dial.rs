//! Connecting to a member.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::{DialError, Dismissed};
use crate::network::wire::{Hello, Welcome, decode_greeting, encode};
use crate::network::{Channel, Dial, Lane};
use crate::transport::tls::{Accept, Credentials, pinned};
use crate::transport::{GREETING_BYTES_MAX, channel, frames};
use crate::types::{NodeId, Peer};

/// Dials members over TLS.
pub(crate) struct TlsDial {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) service_id: String,
    pub(crate) generation: u64,
    pub(crate) from: NodeId,
    pub(crate) frame_bytes_max: usize,
}

impl Dial for TlsDial {
    fn dial(
        &self,
        target: NodeId,
        peer: &Peer,
        lane: Lane,
    ) -> BoxFuture<'static, Result<Channel, DialError>> {
        let credentials = Arc::clone(&self.credentials);
        let (address, key) = (peer.peer_address.clone(), peer.public_key);
        let hello = Hello {
            service_id: self.service_id.clone(),
            generation: self.generation,
            from: self.from,
            to: target,
            lane,
        };
        let max = self.frame_bytes_max;
        Box::pin(async move {
            let stream = connect(&credentials, &address, pinned(key)).await?;
            let mut frames = frames(stream, GREETING_BYTES_MAX);
            let text = |error: std::io::Error| format!("{address}: {error}");
            frames.send(encode(&hello).map_err(text)?).await.map_err(text)?;
            let Some(frame) = frames.next().await else {
                return Err(format!("{address}: closed without a word").into());
            };
            match decode_greeting(&frame.map_err(text)?).map_err(text)? {
                Welcome::Yes => Ok(channel(frames, max)),
                Welcome::No(reason) => Err(format!("{address} refuses us: {reason}").into()),
                Welcome::Removed { index } => Err(Dismissed::Removed { index }.into()),
                Welcome::SetBack => Err(Dismissed::SetBack.into()),
            }
        })
    }
}

/// A TLS session with whoever is at `address`, if `accept` accepts its key. The caller bounds the time.
pub(crate) async fn connect(
    credentials: &Credentials,
    address: &str,
    accept: Accept,
) -> Result<TlsStream<TcpStream>, String> {
    let text = |error: std::io::Error| format!("{address}: {error}");
    let stream = TcpStream::connect(address).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let config = credentials.client(accept).map_err(|error| error.to_string())?;
    let name = ServerName::try_from("peer.circlet").map_err(|error| error.to_string())?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(text)
}
