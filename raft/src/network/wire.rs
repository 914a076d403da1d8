//! What the frames between nodes hold: a version byte, then bincode.

use std::io;

use openraft::AsyncRuntime;
use openraft::alias::{LogIdOf, SnapshotMetaOf, VoteOf};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::bytes::Bytes;

use crate::network::Lane;
use crate::types::{NodeId, Peer, Types};

/// The version of everything in this file.
const VERSION: u8 = 1;

/// The first frame of a connection.
#[derive(Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) service_id: String,
    pub(crate) generation: u64,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) lane: Lane,
}

/// The answer to it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Welcome {
    Yes,
    No(String),
}

/// The answer to one append. Errors of the node itself travel as text: theirs have no stable layout.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Appended<R: AsyncRuntime> {
    Matched(Option<LogIdOf<Types<R>>>),
    Conflict(LogIdOf<Types<R>>),
    HigherVote(VoteOf<Types<R>>),
    Failed(String),
}

/// A question with its number, which the answer repeats.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Numbered<T: Serialize + DeserializeOwned> {
    pub(crate) number: u64,
    pub(crate) body: T,
}

/// What nodes ask each other.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Ask<R: AsyncRuntime> {
    Vote(VoteRequest<Types<R>>),
    PreVote(VoteRequest<Types<R>>),
    Transfer(TransferLeaderRequest<Types<R>>),
    /// The leader's read index, confirmed by a quorum after this was received.
    ReadIndex {
        nonce: u64,
    },
    /// A command to propose, the exact bytes.
    Propose(#[serde(with = "crate::types::raw_bytes")] Vec<u8>),
    Change(Change),
    Clock,
}

/// What they answer.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum Said<R: AsyncRuntime> {
    Vote(VoteResponse<Types<R>>),
    Transferred(TransferLeaderResponse<Types<R>>),
    ReadIndex {
        nonce: u64,
        index: u64,
    },
    Committed {
        index: u64,
        #[serde(with = "crate::types::raw_bytes")]
        outcome: Vec<u8>,
    },
    Changed,
    Clock {
        wall_ms: u64,
    },
    /// Not done: ask the leader, perhaps the one named.
    NotLeader(Option<NodeId>),
    /// Not done, and won't be.
    Refused(String),
    /// Not done; may be tried again.
    Unavailable(String),
    /// Perhaps done.
    Unknown(String),
    /// The node itself is in trouble.
    Failed(String),
}

/// A change of the membership.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    AddLearner(NodeId, Peer),
    Promote(NodeId),
    Remove(NodeId),
    Transfer(NodeId),
}

/// The first frame of a snapshot; raw chunks follow until `bytes` of them have come.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct SnapshotHead<R: AsyncRuntime> {
    pub(crate) vote: VoteOf<Types<R>>,
    pub(crate) meta: SnapshotMetaOf<Types<R>>,
    pub(crate) bytes: u64,
}

/// What the receiver of a snapshot says.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) enum SnapshotSaid<R: AsyncRuntime> {
    /// Still installing: silence would be taken for death.
    Working,
    Installed(VoteOf<Types<R>>),
    Failed(String),
}

pub(crate) fn encode<T: Serialize>(value: &T) -> io::Result<Bytes> {
    let mut frame = vec![VERSION];
    bincode::serde::encode_into_std_write(value, &mut frame, bincode::config::standard())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    Ok(frame.into())
}

pub(crate) fn decode<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some((&version, body)) = frame.split_first() else {
        return Err(bad("an empty frame".to_owned()));
    };
    if version != VERSION {
        return Err(bad(format!("a frame of version {version}; this node speaks {VERSION}")));
    }
    let (value, read) = bincode::serde::decode_from_slice(body, bincode::config::standard())
        .map_err(|error| bad(error.to_string()))?;
    if read != body.len() {
        return Err(bad("a frame with trailing bytes".to_owned()));
    }
    Ok(value)
}
