//! Who belongs to the cluster by the log of one node: a single frame, for whoever connects to hear it.
//!
//! It has a lane of its own. A version that doesn't know it hangs up on it, and no vote gets lost with that.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use openraft::AsyncRuntime;
use serde::{Deserialize, Serialize};

use crate::network::Channel;
use crate::network::acknowledged::Place;
use crate::network::wire::{decode, encode};
use crate::types::{NodeId, Peer};

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Roster {
    /// The entry that made them the members; whether it is decided is not said.
    pub(crate) at: Place,
    pub(crate) members: BTreeMap<NodeId, Peer>,
}

/// Tells it, and hangs up.
pub(crate) async fn tell<R: AsyncRuntime>(mut channel: Channel, roster: &Roster, patience: Duration) {
    let telling = async {
        channel.tx.send(encode(roster)?).await?;
        channel.tx.close().await
    };
    let told: Result<io::Result<()>, _> = R::timeout(patience, telling).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!("a node that asked who belongs left before it heard");
    }
}

/// Hears it; the caller bounds the time.
pub(crate) async fn hear(mut channel: Channel) -> Option<Roster> {
    let frame = channel.rx.next().await?.ok()?;
    decode(&frame).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Lane;
    use crate::network::wire::Hello;

    #[test]
    fn the_bytes_of_a_roster_stay() {
        let hello =
            Hello { service_id: "jfrt@01".to_owned(), generation: 1, from: 2, to: 3, lane: Lane::Roster };
        assert_eq!(encode(&hello).unwrap(), &b"\x01\x07jfrt@01\x01\x02\x03\x06"[..]);
        let peer = Peer {
            name: "n".to_owned(),
            peer_address: "h:1".to_owned(),
            client_url: "u".to_owned(),
            public_key: [7; 32],
        };
        let roster = Roster { at: (3, 70), members: BTreeMap::from([(66, peer)]) };
        let bytes = [&b"\x01\x03\x46\x01\x42\x01n\x03h:1\x01u"[..], &[7; 32]].concat();
        assert_eq!(encode(&roster).unwrap(), &bytes[..]);
        assert_eq!(decode::<Roster>(&bytes).unwrap(), roster);
    }
}
