//! The floor under revocations: what the cluster refuses, kept by each node in a file of its own outside of its home, on
//! storage that outlives the machine. While `revocation-floor.required` is on, a node acknowledges no decision that its file
//! doesn't hold; so when all nodes are lost, the files of all of them together hold everything that was ever acknowledged, and
//! a restore can let earlier tokens live on.
//!
//! ```text
//! <dir>/<service ulid>.<generation>/<node id>.floor     a picture, then what changed (see `file`)
//! <dir>/<service ulid>.<generation>.sealed/             whoever restores has fenced the nodes off: none acknowledges any more
//! <dir>/<service ulid>.<generation>.spent/              a later generation has begun from it
//! ```
//!
//! Why the files suffice. The one that ends last holds everything that any node had acknowledged: a node acknowledges
//! only what its own file holds; it learns of its admission only by an acknowledged join, so it is on the file of whoever let
//! it in; and it acknowledges nothing once it is removed. So if every node that the last file names has its file there, and none
//! of them is a copy that may be older than what was acknowledged, nothing is missing. Sealing comes before reading, and a node
//! looks for the seal after each write, before it acknowledges: what a node that still lives has acknowledged is read, and
//! nothing is acknowledged afterwards.

pub mod file;
mod frames;
pub mod keeping;
pub mod place;
pub mod proof;
pub mod reading;
mod standing;
pub mod storage;

pub use standing::{Floor, NO_FLOOR, Standing, Status};

/// Why a floor is not required from now on. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node has no revocation floor that stands: {why}")]
pub struct NoFloor {
    /// What is wrong with it.
    pub why: String,
    /// The node has only just started, and will have one.
    pub begins: bool,
}

impl NoFloor {
    /// What an operator does about it.
    pub const REMEDY: &str =
        "set revocation-floor.dir in node.yml of every node and restart them one by one, then require it";
}

#[cfg(test)]
mod tests;
