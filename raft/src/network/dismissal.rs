//! Hears from a peer that the cluster has removed us. A node that was cut off while that was decided has no other way
//! to learn of it: nobody sends it anything any more.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::failure::DialError;
use crate::network::{Channel, Dial, Lane};
use crate::types::{NodeId, Peer};
use crate::watch;

/// The log index at which we were removed, once a peer has said so.
pub(crate) type Dismissal = watch::Sender<Option<u64>>;

/// Dials, and listens to how it is refused. One member's word is enough: it has proved the key that we have of it, and
/// what it says is final, since an id never returns.
pub(crate) struct Attentive {
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) dismissal: Arc<Dismissal>,
}

impl Dial for Attentive {
    fn dial(
        &self,
        target: NodeId,
        peer: &Peer,
        lane: Lane,
    ) -> BoxFuture<'static, Result<Channel, DialError>> {
        let dismissal = Arc::clone(&self.dismissal);
        let dialling = self.dial.dial(target, peer, lane);
        let listening = async move {
            let dialled = dialling.await;
            if let Err(DialError::Removed { index }) = &dialled {
                dismissal.modify(|known| known.replace(*index).is_none());
            }
            dialled
        };
        listening.boxed()
    }
}
