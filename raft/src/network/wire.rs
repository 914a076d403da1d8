//! What the frames between nodes hold: a version byte, then bincode.

use std::collections::BTreeMap;
use std::io;

use openraft::AsyncRuntime;
use openraft::alias::{LogIdOf, SnapshotMetaOf, VoteOf};
use openraft::raft::{TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::bytes::Bytes;

use crate::network::Lane;
use crate::network::acknowledged::Standing;
use crate::sources::SourceId;
use crate::trace::Trace;
use crate::types::{NodeId, Peer, Types};

/// The version of everything in this file.
const VERSION: u8 = 1;

/// What decoding one frame may take, in bytes: lengths inside a frame are the sender's word, and are held against this
/// before anything is allocated for them. Eight times a frame, because numbers are shorter in it than in memory.
const DECODED_BYTES_MAX: usize = 64 << 20;

/// The same for the first frames of a connection, whose sender may be anybody.
const GREETING_DECODED_BYTES_MAX: usize = 64 << 10;

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
    /// The cluster has removed the node that holds this key.
    Removed {
        index: u64,
    },
    /// The disk of the node that holds this key went back.
    SetBack,
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
    /// The time, and what is on the disk.
    Clock,
    /// Who belongs to the cluster, confirmed by a quorum after this was received.
    Members,
    /// Something beside the log.
    Aside(#[serde(with = "crate::types::raw_bytes")] Vec<u8>),
    /// As [`Ask::Propose`], with the trace of the request that it comes from; from feature level 2 on.
    ProposeTraced {
        #[serde(with = "crate::types::raw_bytes")]
        command: Vec<u8>,
        trace: Trace,
    },
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
        /// How old what the leader knows of each source is, in milliseconds.
        ages: Vec<(SourceId, u64)>,
    },
    Committed {
        index: u64,
        #[serde(with = "crate::types::raw_bytes")]
        outcome: Vec<u8>,
    },
    Changed,
    Clock {
        wall_ms: u64,
        standing: Standing,
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
    Members(BTreeMap<NodeId, Peer>),
    /// The answer to what was asked beside the log.
    Aside(#[serde(with = "crate::types::raw_bytes")] Vec<u8>),
}

/// A change of the membership.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Change {
    AddLearner(NodeId, Peer),
    Promote(NodeId),
    Remove(NodeId),
    Transfer(NodeId),
    /// A member has other addresses from now on, under the same key.
    Relocate(NodeId, Peer),
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
    decode_within::<T, DECODED_BYTES_MAX>(frame)
}

/// As [`decode`], for the frames of those who have not proved who they are.
pub(crate) fn decode_greeting<T: DeserializeOwned>(frame: &[u8]) -> io::Result<T> {
    decode_within::<T, GREETING_DECODED_BYTES_MAX>(frame)
}

fn decode_within<T: DeserializeOwned, const MAX: usize>(frame: &[u8]) -> io::Result<T> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let Some((&version, body)) = frame.split_first() else {
        return Err(bad("an empty frame".to_owned()));
    };
    if version != VERSION {
        return Err(bad(format!("a frame of version {version}; this node speaks {VERSION}")));
    }
    let config = bincode::config::standard().with_limit::<MAX>();
    let (value, read) =
        bincode::serde::decode_from_slice(body, config).map_err(|error| bad(error.to_string()))?;
    if read != body.len() {
        return Err(bad("a frame with trailing bytes".to_owned()));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use openraft_rt_tokio::TokioRuntime;

    use super::*;

    /// A text or a run of bytes that says to be this long, and ends at once.
    fn claims(prefix: &[u8], length: u64) -> Vec<u8> {
        [prefix, &[253], &length.to_le_bytes()].concat()
    }

    #[test]
    fn a_length_inside_a_frame_allocates_nothing_before_the_bytes_are_there() {
        for length in [1 << 20, 1 << 40, u64::MAX >> 1, u64::MAX] {
            assert!(decode_greeting::<Hello>(&claims(&[VERSION], length)).is_err(), "{length}");
            // An answer that refuses with a text, and a proposal.
            assert!(decode_greeting::<Welcome>(&claims(&[VERSION, 1], length)).is_err(), "{length}");
            let proposal = claims(&[VERSION, 7, 4], length);
            assert!(decode::<Numbered<Ask<TokioRuntime>>>(&proposal).is_err(), "{length}");
        }
    }

    #[test]
    fn the_largest_command_and_a_greeting_read_back() {
        let command = vec![7; crate::log_store::COMMAND_BYTES_MAX];
        let frame = encode(&Numbered { number: 3, body: Ask::<TokioRuntime>::Propose(command.clone()) });
        let back: Numbered<Ask<TokioRuntime>> = decode(&frame.unwrap()).unwrap();
        assert!(matches!(back.body, Ask::Propose(bytes) if bytes == command));
        let hello = Hello {
            service_id: "jfrt@01".repeat(100),
            generation: u64::MAX,
            from: u64::MAX,
            to: u64::MAX,
            lane: Lane::Join,
        };
        let back: Hello = decode_greeting(&encode(&hello).unwrap()).unwrap();
        assert_eq!((back.service_id, back.lane), (hello.service_id, Lane::Join));
    }
}
