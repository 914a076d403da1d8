//! Why a node does not serve, or no longer.

use std::path::PathBuf;

use circlet_raft::OpenError;

use crate::home::HomeError;
use crate::http;
use crate::join::JoinError;
use crate::keys::KeyUnavailable;

/// Why a node does not serve, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The home is not in order.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The node is new, has the keys to join with, and was not let in.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The port for clients can't be had.
    #[error("can't listen for clients on {address} ({setting})")]
    Listen {
        /// The address as configured.
        address: String,
        /// The setting that names it.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret of the cluster doesn't open, though the master key is the right one.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
    /// The certificate for clients is of no use.
    #[error(transparent)]
    Tls(#[from] http::tls::TlsProblem),
    /// The system refused something that a server needs.
    #[error("can't {doing}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The cluster has removed this node.
    #[error("node {node_id} was removed from cluster {service_id}, at index {index} of its log")]
    Removed {
        /// The node.
        node_id: u64,
        /// The log index that removed it.
        index: u64,
        /// Its former cluster.
        service_id: String,
    },
    /// The disk was set back, as a peer has noticed.
    #[error("the disk of node {node_id} went back to an older state: {} lacks what the node had told its peers", .folder.display())]
    SetBack {
        /// The node.
        node_id: u64,
        /// Its data.
        folder: PathBuf,
    },
    /// Its revocation floor was taken away: somebody restores the cluster.
    #[error("node {node_id} must not acknowledge anything any more: {why}")]
    FloorEnded {
        /// The node.
        node_id: u64,
        /// What was found.
        why: String,
    },
    /// The node has stopped itself, rather than answer from a state that it can't vouch for.
    #[error("the node has stopped itself: {0}")]
    Stopped(String),
}
