//! Nodes and join tokens.

use crate::codec::{wire_enum, wire_struct};

/// A node as others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    /// The log index that admitted it; never reused.
    pub id: u64,
    /// What it calls itself.
    pub name: String,
    /// Where peers reach it.
    pub peer_address: String,
    /// Where clients reach it.
    pub client_url: String,
    /// SHA-256 of the node key's public key: whoever holds the key is the node.
    pub public_key: [u8; 32],
}
wire_struct!(NodeRecord { id, name, peer_address, client_url, public_key });

/// What a node is to Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeRole {
    /// Admitted by its join token, not yet in the membership.
    Admitted = 1,
    /// In the membership without a vote.
    Learner = 2,
    /// In the membership with a vote.
    Voter = 3,
}
wire_enum!(NodeRole {
    1 => Admitted,
    2 => Learner,
    3 => Voter,
});

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name, addresses and key.
    pub record: NodeRecord,
    /// What it is to Raft.
    pub role: NodeRole,
    /// When it was admitted, milliseconds; 0 for one that only the membership brought.
    pub admitted_at_ms: u64,
    /// Whether it is given a vote once it has caught up; one that isn't verifies and issues all the same.
    pub votes: bool,
    /// The highest feature level that it has said to support; the first one while it has said nothing.
    pub supports: u32,
}
wire_struct!(Node { record, role, admitted_at_ms, votes, supports });

/// A node that was a member and is none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedNode {
    /// As the last membership had it.
    pub record: NodeRecord,
    /// The log index of the membership that it is not in.
    pub index: u64,
}
wire_struct!(RemovedNode { record, index });

/// The right to join, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the secret.
    pub hash: [u8; 32],
    /// Seconds since the epoch.
    pub expires_at: u64,
    /// Who used it.
    pub redeemed: Option<Redeemed>,
}
wire_struct!(JoinToken { hash, expires_at, redeemed });

/// The use of a join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemed {
    /// The id given.
    pub node: u64,
    /// The only key that may repeat it.
    pub public_key: [u8; 32],
}
wire_struct!(Redeemed { node, public_key });
