//! Hears from a peer that we don't belong to the cluster any more. A node that was cut off while it was removed has no
//! other way to learn of it: nobody sends it anything. Nor does one notice by itself that its disk was set back.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::failure::{DialError, Dismissed};
use crate::network::addresses::Addresses;
use crate::network::{Channel, Dial, Lane};
use crate::types::{NodeId, Peer};
use crate::watch;

/// Why we don't belong any more, once a peer has said so.
pub(crate) type Dismissal = watch::Sender<Option<Dismissed>>;

/// Dials where the node is now, and listens to how it is refused. One member's word is enough: it has proved the key that we have of it, and
/// what it says is final: an id never returns, nor does what a disk has lost.
pub(crate) struct Attentive {
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) dismissal: Arc<Dismissal>,
    pub(crate) addresses: Arc<Addresses>,
}

impl Dial for Attentive {
    fn dial(
        &self,
        target: NodeId,
        peer: &Peer,
        lane: Lane,
    ) -> BoxFuture<'static, Result<Channel, DialError>> {
        let dismissal = Arc::clone(&self.dismissal);
        let peer_address = self.addresses.of(target).unwrap_or_else(|| peer.peer_address.clone());
        let dialling = self.dial.dial(target, &Peer { peer_address, ..peer.clone() }, lane);
        let listening = async move {
            let dialled = dialling.await;
            if let Err(DialError::Dismissed(why)) = &dialled {
                dismissal.modify(|known| known.replace(*why).is_none());
            }
            dialled
        };
        listening.boxed()
    }
}
