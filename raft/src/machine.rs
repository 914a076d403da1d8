//! What is replicated, seen from here: a machine that applies bytes and shows views.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::types::{NodeId, Peer};

/// Writes a captured state; runs on a thread of its own while the machine goes on applying.
pub type Capture = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + Send>;

/// A node that was a member and is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The log index that removed it.
    pub index: u64,
    /// SHA-256 of the public key that it had.
    pub public_key: [u8; 32],
}

/// The deterministic state machine that the log drives.
///
/// Equal entries at equal indexes must give equal states on every node: nothing here may ask a clock,
/// a random source or the environment.
pub trait Machine: Send + 'static {
    /// An immutable picture of the state; cheap to take, shared by all readers.
    type View: Send + Sync + 'static;

    /// The state before the first entry.
    fn empty() -> Self;

    /// The state that a snapshot holds; what it can't read or doesn't know is an error.
    fn restore(snapshot: &mut dyn Read) -> Result<Self, String>
    where
        Self: Sized;

    /// Takes the present state in O(1), to be written later.
    fn capture(&self) -> Capture;

    /// Applies one command and returns its outcome. A refusal is an outcome; an `Err` stops the node.
    fn apply(&mut self, index: u64, stamp_ms: u64, command: &[u8]) -> Result<Vec<u8>, String>;

    /// Takes note of the members that the entry at `index` decided: all of them, and who votes.
    fn members(&mut self, index: u64, peers: &BTreeMap<NodeId, Peer>, voters: &BTreeSet<NodeId>);

    /// The present state, for readers.
    fn view(&self) -> Arc<Self::View>;

    /// Decodes and applies the exact bytes on a copy, so that no entry can stop every node. An outcome that
    /// refuses is fine; an `Err` keeps the command out of the log.
    fn dry_run(view: &Self::View, stamp_ms: u64, command: &[u8]) -> Result<(), String>;

    /// What nodes may write to each other: all that this level names.
    fn feature_level(view: &Self::View) -> u32 {
        let _ = view;
        1
    }

    /// The state's time in milliseconds since 1970: the greatest stamp applied.
    fn now_ms(view: &Self::View) -> u64;

    /// Peers whose keys may connect already though the membership doesn't have them yet.
    fn admitted(view: &Self::View) -> Vec<(NodeId, Peer)>;

    /// Whether a node is given a vote once it has caught up.
    fn may_vote(view: &Self::View, id: NodeId) -> bool;

    /// When a node was removed, if it was: its key never connects again, and whoever holds it is told.
    fn removed(view: &Self::View, id: NodeId) -> Option<Removal>;

    /// A digest of the whole state, equal on every node at an equal index.
    fn digest(view: &Self::View) -> [u8; 32];
}
