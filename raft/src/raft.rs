//! The facade: one node of a replicated machine, on tokio, sled and mutual TLS.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use zeroize::Zeroizing;

use crate::clock_watch::{Clocks, Instants};
use crate::machine::Machine;
use crate::published::{Board, Published};
use crate::settings::Settings;
use crate::types::{NodeId, Peer};

/// Who this node is, to its peers.
#[derive(Clone)]
pub struct Identity {
    /// Its id in the membership.
    pub node_id: NodeId,
    /// Its certificate, then whatever signed it, as DER. Only the public key of the first counts for members.
    pub certificate_chain: Vec<Vec<u8>>,
    /// The key of the first certificate, as PKCS#8 DER.
    pub private_key: Zeroizing<Vec<u8>>,
    /// The service id of the cluster; peers of another are refused.
    pub service_id: String,
    /// The generation of the cluster; peers of another are refused.
    pub generation: u64,
}

/// Serves the one frame that a peer with an unknown key may send.
pub trait Gate: Send + Sync + 'static {
    /// Judges a request to join. `exporter` is bound to the TLS session on both sides, so that a proof over it
    /// can't be replayed on another connection.
    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>>;
}

/// What opening a node takes.
pub struct Options {
    /// The folder for the log (`raft/`) and the snapshots (`snapshots/`).
    pub data: PathBuf,
    /// Who we are.
    pub identity: Identity,
    /// Where to listen for peers, as `host:port`; port 0 picks one.
    pub listen: String,
    /// Timeouts and limits.
    pub settings: Settings,
    /// Who serves those that want to join.
    pub gate: Arc<dyn Gate>,
    /// Where time comes from.
    pub clocks: Arc<dyn Clocks>,
    /// A lone node may stamp though its clock is far ahead of the state's time.
    pub accept_clock: bool,
}

/// A command that the cluster has decided, and that this node's view holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its index in the log.
    pub index: u64,
    /// What applying it returned.
    pub outcome: Vec<u8>,
}

/// Why a proposal gave no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The bytes can't be applied; they were kept out of the log.
    #[error("the command can't be applied: {0}")]
    Refused(String),
    /// Certainly not done: no leader was found in time, or the leader may not stamp.
    #[error("the command was not accepted: {0}")]
    Unavailable(String),
    /// It may or may not have been done; only asking again with the same id tells.
    #[error("the fate of the command is unknown: {0}")]
    Unknown(String),
}

/// Freshness couldn't be proved in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't prove that the view is fresh: {0}")]
pub struct NotFresh(pub String);

/// The view didn't reach an index in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waited for index {wanted}, the view is at {reached}")]
pub struct NotReached {
    /// What was waited for.
    pub wanted: u64,
    /// How far the view came.
    pub reached: u64,
}

/// Why a node didn't open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The certificate or the key is of no use.
    #[error("can't use the node's identity: {0}")]
    Identity(String),
    /// The peer port can't be listened on.
    #[error("can't listen for peers on {address}")]
    Listen {
        /// The address as configured.
        address: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Log or snapshots can't be opened.
    #[error("can't open the data: {0}")]
    Data(String),
    /// The settings contradict each other.
    #[error("bad settings: {0}")]
    Settings(String),
}

/// Why the membership didn't change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Asked for something that can't be.
    #[error("can't change the membership: {0}")]
    Refused(String),
    /// No leader, or no quorum in time; it may or may not have been done, and may be repeated.
    #[error("the membership may not have changed: {0}")]
    Unavailable(String),
}

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
    /// Why it stopped, if it did.
    pub stopped: Option<String>,
}

/// One node; clones are handles to the same.
pub struct Raft<M: Machine> {
    board: Arc<Board<M::View>>,
}

impl<M: Machine> Clone for Raft<M> {
    fn clone(&self) -> Self {
        Self { board: Arc::clone(&self.board) }
    }
}

#[allow(clippy::unused_async, unused_variables, reason = "signatures first, the replica lands next")]
impl<M: Machine> Raft<M> {
    /// Opens the log, restores the state, and begins to listen and to take part.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        Err(OpenError::Data("no log store yet".to_owned()))
    }

    /// Starts a new cluster with this node as its only member; refused if it has ever been in one.
    pub async fn initialize(&self, peer: Peer) -> Result<(), MemberError> {
        Err(MemberError::Unavailable("not running".to_owned()))
    }

    /// Where peers reach us, with the port that was picked.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], 0))
    }

    /// The present view with its index and freshness.
    #[must_use]
    pub fn published(&self) -> Arc<Published<M::View>> {
        self.board.load()
    }

    /// Has the cluster decide a command; returns when this node's view holds it.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Committed, ProposeError> {
        Err(ProposeError::Unavailable("not running".to_owned()))
    }

    /// A view that is fresh as of `newer_than`, or as of this call; waits for a bounded time.
    pub async fn fresh(&self, newer_than: Option<Instants>) -> Result<Arc<Published<M::View>>, NotFresh> {
        Err(NotFresh("not running".to_owned()))
    }

    /// A view that holds `index`.
    pub async fn wait_index(
        &self,
        index: u64,
        wait: Duration,
    ) -> Result<Arc<Published<M::View>>, NotReached> {
        Err(NotReached { wanted: index, reached: 0 })
    }

    /// Adds a node that receives the log; it is given a vote by itself once it has caught up.
    pub async fn add_learner(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        Err(MemberError::Unavailable("not running".to_owned()))
    }

    /// Gives a learner its vote now.
    pub async fn promote(&self, id: NodeId) -> Result<(), MemberError> {
        Err(MemberError::Unavailable("not running".to_owned()))
    }

    /// Removes a member; its id never returns.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        Err(MemberError::Unavailable("not running".to_owned()))
    }

    /// Hands leadership to a voter.
    pub async fn transfer(&self, to: NodeId) -> Result<(), MemberError> {
        Err(MemberError::Unavailable("not running".to_owned()))
    }

    /// The state of this node.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        None
    }

    /// Resolves with the reason when the node has stopped itself; never while it is well.
    pub fn stopped(&self) -> impl Future<Output = String> + Send + 'static {
        std::future::pending()
    }

    /// Stops the node; a leader hands over first.
    pub async fn shutdown(&self) {}
}

/// Why a knock wasn't answered.
#[derive(Debug, thiserror::Error)]
pub enum KnockError {
    /// Nobody there, or the connection broke.
    #[error("can't reach {address}: {reason}")]
    Unreachable {
        /// Where we knocked.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Somebody there, but not of the expected cluster.
    #[error("{address} is not of the cluster that was expected: {reason}")]
    Stranger {
        /// Where we knocked.
        address: String,
        /// What was found.
        reason: String,
    },
    /// The cluster said no.
    #[error("the cluster refused: {0}")]
    Refused(String),
}

/// Knocks at a member to join: connects with the joiner's key, checks that the member's certificate was signed by
/// the CA whose DER has this SHA-256, and exchanges one frame. `make_request` gets the session's exporter.
#[allow(clippy::unused_async, unused_variables, reason = "signatures first, the transport lands next")]
pub async fn knock<F>(
    address: &str,
    ca_fingerprint: [u8; 32],
    identity: &Identity,
    make_request: F,
) -> Result<Vec<u8>, KnockError>
where
    F: FnOnce([u8; 32]) -> Vec<u8> + Send,
{
    Err(KnockError::Unreachable { address: address.to_owned(), reason: "not running".to_owned() })
}
