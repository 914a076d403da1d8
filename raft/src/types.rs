//! What openraft is told about us: ids, peers, entries and answers, for any runtime.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use openraft::impls::{
    BoxedErrorSource, Entry, EntryPayload, InlineBatch, OneshotResponder, Vote, leader_id_std,
};
use openraft::vote::RaftLeaderId;
use openraft::{AsyncRuntime, OptionalSend, RaftTypeConfig};
use serde::{Deserialize, Serialize};

/// A node's id: the log index of the entry that admitted it, so that none is ever used twice.
pub type NodeId = u64;

/// What the membership records about a node; the key is what its connections are held to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// The name that the operator gave it; unique, for people.
    pub name: String,
    /// Where its peers reach it, as `host:port`.
    pub peer_address: String,
    /// Where its clients reach it, as a URL.
    pub client_url: String,
    /// SHA-256 of the DER of its public key (`SubjectPublicKeyInfo`).
    pub public_key: [u8; 32],
}

/// One entry of the log: bytes that only the [`Machine`](crate::Machine) can read, and the leader's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The leader's wall clock when it accepted the command, in milliseconds since 1970.
    pub stamp_ms: u64,
    /// The command, as its proposer encoded it.
    #[serde(with = "raw_bytes")]
    pub command: Vec<u8>,
}

/// Bytes in one piece: serde's way for a `Vec<u8>` is one at a time. The encoding is the same.
pub(crate) mod raw_bytes {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
            fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// Names size and time only: entries are printed by logs, and commands may carry what must not be.
impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes stamped {}", self.command.len(), self.stamp_ms)
    }
}

/// What applying an entry returned; empty for entries of Raft itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer(pub Vec<u8>);

/// The type configuration of our Raft over the runtime `R`.
pub struct Types<R>(PhantomData<fn() -> R>);

impl<R> fmt::Debug for Types<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Types")
    }
}
impl<R> Clone for Types<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Types<R> {}
impl<R> Default for Types<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}
impl<R> PartialEq for Types<R> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<R> Eq for Types<R> {}
impl<R> PartialOrd for Types<R> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<R> Ord for Types<R> {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl<R: AsyncRuntime> RaftTypeConfig for Types<R> {
    type D = Proposal;
    type R = Answer;
    type NodeId = NodeId;
    type Node = Peer;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, NodeId>;
    type Vote = Vote<Self::LeaderId>;
    type Payload = EntryPayload<Proposal, NodeId, Peer>;
    type Entry = Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type AsyncRuntime = R;
    type Responder<T>
        = OneshotResponder<Self, T>
    where
        T: OptionalSend + 'static;
    type Batch<T>
        = InlineBatch<T>
    where
        T: OptionalSend + 'static;
    type ErrorSource = BoxedErrorSource;
}

/// A command that the cluster has decided, and that this node's view holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its index in the log.
    pub index: u64,
    /// What applying it returned.
    pub outcome: Vec<u8>,
}
