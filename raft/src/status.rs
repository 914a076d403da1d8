//! What a node tells people about itself and its peers.

use std::collections::BTreeMap;

use crate::engine::DiskReport;
use crate::types::{NodeId, Peer};

/// What a node is in its cluster at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It orders the log.
    Leader,
    /// It votes and follows.
    Follower,
    /// It stands for election.
    Candidate,
    /// It follows without a vote.
    Learner,
    /// It has stopped itself.
    Stopped,
}

/// One member as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the membership records.
    pub peer: Peer,
    /// It votes.
    pub voter: bool,
    /// The last index known to be on its disk; only the leader knows.
    pub matched: Option<u64>,
    /// The last index that it told us is decided and on its disk; none while it has told nothing.
    pub decided: Option<u64>,
    /// It was found to lack what it had acknowledged to us, and is refused until it joins anew.
    pub set_back: bool,
    /// How far its wall clock is ahead of ours, in milliseconds, if measured lately.
    pub clock_offset_ms: Option<i64>,
}

/// The state of a node, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: NodeId,
    /// The leader it knows.
    pub leader: Option<NodeId>,
    /// Raft's term.
    pub term: u64,
    /// What it is.
    pub role: Role,
    /// The last index of its log.
    pub last_log: Option<u64>,
    /// The last index that it has applied.
    pub applied: Option<u64>,
    /// The last index of its newest snapshot.
    pub snapshot: Option<u64>,
    /// The last index that was purged from its log.
    pub purged: Option<u64>,
    /// All members.
    pub members: BTreeMap<NodeId, Member>,
    /// How old its view may be, in milliseconds; none if not proved since the start.
    pub age_ms: Option<u64>,
    /// How far its clock is from the median of the voters, in milliseconds, if a majority was measured lately.
    pub clock_offset_ms: Option<i64>,
    /// How often this node has seen another node lead than before.
    pub leader_changes: u64,
    /// What the disk under its log does.
    pub disk: DiskReport,
    /// Why it stopped, if it did.
    pub stopped: Option<String>,
}
