//! The word that the cluster goes on in a later generation. A node that was recovered brings it, under the key that it had
//! before, to those whom it gave up: one frame there, one back.
//!
//! They have no other way to learn of it, since they believe only keys that they have pinned. Whoever can say it could as
//! well lead them, or lead them astray: it holds the key of a member.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use openraft::AsyncRuntime;
use serde::{Deserialize, Serialize};

use crate::failure::DialError;
use crate::network::wire::{decode, encode};
use crate::network::{Channel, Dial, Lane};
use crate::types::{NodeId, Peer};

/// What is told.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Succession {
    /// The generation in which the cluster goes on.
    pub(crate) generation: u64,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SuccessionSaid {
    /// It is on the disk, and the node stops.
    Kept,
    /// It isn't there, for this reason.
    NotKept(String),
}

/// Dials a node, as who `dial` says that we are to it, and tells it; the caller bounds the time. Once this returns, it has
/// kept that on its disk, and stops.
///
/// # Errors
/// It was not reached, doesn't count us as a member, or could not keep it.
pub async fn announce(dial: &dyn Dial, to: NodeId, peer: &Peer, generation: u64) -> Result<(), DialError> {
    let channel = dial.dial(to, peer, Lane::Succession).await?;
    tell(channel, generation).await.map_err(DialError::Failed)
}

/// Tells it, and waits for the answer. Hanging up afterwards is what lets the other one go.
async fn tell(mut channel: Channel, generation: u64) -> Result<(), String> {
    let lost = |error: std::io::Error| error.to_string();
    channel.tx.send(encode(&Succession { generation }).map_err(lost)?).await.map_err(lost)?;
    let answer = channel.rx.next().await.ok_or("closed without an answer")?.map_err(lost)?;
    match decode(&answer).map_err(lost)? {
        SuccessionSaid::Kept => Ok(()),
        SuccessionSaid::NotKept(reason) => Err(reason),
    }
}

/// Reads what is told.
pub(crate) async fn hear<R: AsyncRuntime>(channel: &mut Channel, patience: Duration) -> Option<Succession> {
    let frame = R::timeout(patience, channel.rx.next()).await.ok()??.ok()?;
    decode(&frame).ok()
}

/// Answers, and waits until the other end has the answer, which it says by hanging up.
pub(crate) async fn answer<R: AsyncRuntime>(mut channel: Channel, said: &SuccessionSaid, patience: Duration) {
    let Ok(frame) = encode(said) else { return };
    if let Ok(Ok(())) = R::timeout(patience, channel.tx.send(frame)).await {
        // Anything that comes instead of the end is as good.
        let _ = R::timeout(patience, channel.rx.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Succession, SuccessionSaid};
    use crate::network::Lane;
    use crate::network::wire::{Hello, decode, encode};

    #[test]
    fn the_bytes_of_the_word_and_of_its_answers_stay() {
        let hello =
            Hello { service_id: "jfrt@01".to_owned(), generation: 1, from: 2, to: 3, lane: Lane::Succession };
        assert_eq!(encode(&hello).unwrap(), &b"\x01\x07jfrt@01\x01\x02\x03\x05"[..]);
        let word = Succession { generation: 1_796_010_727 };
        assert_eq!(encode(&word).unwrap(), &b"\x01\xfc\xe7\xf2\x0c\x6b"[..]);
        assert_eq!(decode::<Succession>(b"\x01\xfc\xe7\xf2\x0c\x6b").unwrap(), word);
        let no = SuccessionSaid::NotKept("no".to_owned());
        assert_eq!(encode(&SuccessionSaid::Kept).unwrap(), &b"\x01\x00"[..]);
        assert_eq!(encode(&no).unwrap(), &b"\x01\x01\x02no"[..]);
    }
}
