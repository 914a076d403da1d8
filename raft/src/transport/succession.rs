//! A node that was recovered dials those whom it gave up, as who it was to them.

use std::sync::Arc;
use std::time::Duration;

use crate::failure::DialError;
use crate::network::succession;
use crate::transport::GREETING_BYTES_MAX;
use crate::transport::dial::TlsDial;
use crate::transport::tls::{Credentials, Identity};
use crate::types::{NodeId, Peer};

/// The whole conversation may take this long; the other end writes to its disk meanwhile.
const WAIT: Duration = Duration::from_secs(10);

/// Tells a node that the cluster goes on in `generation` without it. `former` is who we were to it, in the generation in
/// which it lives. Once this returns, it has kept that on its disk, and stops.
///
/// # Errors
/// It was not reached, holds another key than the recorded one, doesn't count us as a member, or could not keep it.
pub async fn announce_succession(
    former: &Identity,
    to: NodeId,
    peer: &Peer,
    generation: u64,
) -> Result<(), DialError> {
    let dial = TlsDial {
        credentials: Arc::new(Credentials::new(former)?),
        service_id: former.service_id.clone(),
        generation: former.generation,
        from: former.node_id,
        frame_bytes_max: GREETING_BYTES_MAX,
    };
    let telling = succession::announce(&dial, to, peer, generation);
    let address = &peer.peer_address;
    match tokio::time::timeout(WAIT, telling).await {
        Ok(told) => told,
        Err(_) => Err(format!("{address}: no answer within {} s", WAIT.as_secs()).into()),
    }
}
