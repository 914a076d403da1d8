//! Tells one of those that were given up, until it knows, or has told us why it doesn't listen. Generic over who tells, so
//! that simulated nodes tell by the same lines.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use circlet_raft::{DialError, Dismissed, NodeId, Peer};

/// They are dialled this soon again at first.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// And at last so often, for ever: for about so long a majority that is started again serves before it hears.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// Who began a generation without others, as they know it: they believe nobody else.
pub(super) trait Former: Sync {
    /// Why something can't be kept.
    type Failure: fmt::Display + Send;

    /// Tells one of them once. It has kept that then, and stops.
    fn announce(&self, to: NodeId, peer: &Peer) -> impl Future<Output = Result<(), DialError>> + Send;

    /// Keeps that one of them knows: it can't be asked again.
    fn note(&self, id: NodeId) -> impl Future<Output = Result<(), Self::Failure>> + Send;

    /// Lets about so much time pass, so that not all are told at once.
    fn pause(&self, about: Duration) -> impl Future<Output = ()> + Send;
}

/// Returns when it knows, or had removed us before.
pub(super) async fn tell(former: &impl Former, id: NodeId, peer: &Peer) {
    let name = peer.name.as_str();
    let mut pause = FIRST_PAUSE;
    loop {
        match former.announce(id, peer).await {
            Ok(()) => break,
            Err(DialError::Dismissed(why @ Dismissed::Removed { .. })) => {
                return tracing::error!(name, %why, "a node lives that was given up, and had removed this one before");
            }
            Err(error) => tracing::debug!(name, %error, "a node that was given up is not reached"),
        }
        former.pause(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
    tracing::warn!(name, "a node that was given up knows it now, and has stopped");
    while let Err(error) = former.note(id).await {
        tracing::error!(name, %error, "that a node knows that it was given up can't be kept");
        former.pause(LAST_PAUSE).await;
    }
}
