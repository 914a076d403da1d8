//! What turning the master key over needs of a node: its files, what it holds in memory, the other members, and the log.
//! The steps are generic over it, so that the simulator's nodes take the same.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, NodeRole, Refusal, Resealed, SealedKind, State};
use circlet_raft::NodeId;
use tokio::sync::Mutex;

/// A master key.
pub trait Master: Clone + Send + Sync {
    /// The key that is made of this.
    fn of_material(material: Vec<u8>) -> Self;

    /// What it is made of, for a member that lacks it.
    fn to_material(&self) -> Vec<u8>;

    /// What the cluster knows of it.
    fn fingerprint(&self) -> [u8; 32];
}

/// Where a node keeps a master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file with the key that is in force.
    Present,
    /// The file beside it, with the key that is on its way.
    Next,
}

/// A node that keeps the cluster's master key.
pub trait Custodian: Sync {
    /// The key as this node has it.
    type Key: Master;
    /// Why a step was not taken.
    type Failure: From<String> + From<Refusal> + Display + Send;

    /// Its id.
    fn id(&self) -> NodeId;

    /// The present view.
    fn view(&self) -> Arc<State>;

    /// Whether the present view is young enough to vouch for what can be revoked.
    fn is_fresh(&self) -> bool;

    /// A view that was proved fresh after this call began; the wait is bounded.
    fn fresh(&self) -> impl Future<Output = Result<Arc<State>, String>> + Send;

    /// The node's time, milliseconds since the epoch, and no earlier than what a view knows.
    fn now_ms(&self, view: &State) -> u64;

    /// Has the cluster decide, and returns the log index; the view holds the decision then. A refusal is a failure.
    fn decide(&self, actor: Actor, action: Action)
    -> impl Future<Output = Result<u64, Self::Failure>> + Send;

    /// Asks a member beside the log.
    fn ask(
        &self,
        member: NodeId,
        question: Vec<u8>,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<u8>, String>> + Send;

    /// A key that nobody had before.
    fn generate(&self) -> Self::Key;

    /// The key with this fingerprint, if it is in memory.
    fn held(&self, fingerprint: &[u8; 32]) -> Option<Self::Key>;

    /// Holds a key in memory from now on, beside those of before.
    fn hold(&self, key: &Self::Key);

    /// A secret that the view holds sealed, sealed once more under another key.
    fn reseal(&self, view: &State, which: &SealedKind, under: &Self::Key) -> Result<Resealed, Self::Failure>;

    /// Held while the file with the next key is another than the log says: between writing it and announcing it.
    fn filing(&self) -> &Mutex<()>;

    /// The key in a file.
    fn read(&self, place: Place) -> Result<Self::Key, Self::Failure>;

    /// Writes a file. When it returns, the key is on the disk for good.
    fn write(&self, place: Place, key: &Self::Key) -> Result<(), Self::Failure>;

    /// Lets the file with the next key take the place of the present one.
    fn promote(&self) -> Result<(), Self::Failure>;

    /// Removes the file with the next key. Says whether there was one.
    fn forget_next(&self) -> Result<bool, Self::Failure>;

    /// What is wrong with the file of the present key; nothing if all is well.
    fn tell_problem(&self, problem: Option<String>);
}

/// The members other than this node.
pub fn others(view: &State, own: NodeId) -> impl Iterator<Item = NodeId> + '_ {
    let members = view.nodes().filter(|node| node.role != NodeRole::Admitted);
    members.map(|node| node.record.id).filter(move |id| *id != own)
}

/// A fingerprint as it is shown.
pub(super) fn shown(fingerprint: &[u8; 32]) -> String {
    fingerprint.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
