//! What peers ask a node beside the log.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::failure::Unconfirmed;
use crate::types::NodeId;

/// Answers what peers ask beside the log.
pub trait Gate: Send + Sync + 'static {
    /// Judges a request to join: the one frame that a peer with an unknown key may send. `exporter` is bound to the TLS
    /// session on both sides, so that a proof over it can't be replayed on another connection.
    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>>;

    /// Answers the question of a member, who has proved its key: bytes for bytes. By default nothing is told.
    fn tell(&self, _from: NodeId, _question: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        async { Err("this node tells nothing beside the log".to_owned()) }.boxed()
    }

    /// A member says, under the key that is recorded for it, that it began a later generation without us. Whoever believes
    /// it keeps it where the next start finds it; by default nobody does.
    fn superseded(&self, _from: NodeId, _generation: u64) -> BoxFuture<'static, Result<(), Unconfirmed>> {
        async { Err(Unconfirmed::NotBelieved("nobody here keeps it".to_owned())) }.boxed()
    }
}
