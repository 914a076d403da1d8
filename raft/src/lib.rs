//! How decisions replicate: openraft over a durable log and mutual TLS. Knows no token.
//!
//! | module | holds |
//! |---|---|
//! | [`damage`] | what is said about a log or snapshot that fails its checks |
//! | [`engine`] | ordered keys on disk, durable in order |
//! | [`defects`] | what a simulator plants |
//! | [`log_store`] | Raft's log and vote over an engine |
//! | [`blocking`] | where work goes that would hold up the runtime |
//! | [`folder`] | the folder of snapshots, as the store needs it |
//! | [`snapshot`] | snapshots as files, the last two of them |
//! | [`state_machine`] | the machine under openraft |
//! | [`storage`] | a data folder, opened as a whole |
//! | [`types`] | ids, peers, entries; openraft's type configuration |
//! | [`machine`] | what is replicated, as a trait |
//! | [`published`] | the one value that readers load: view, index, freshness |
//! | [`clock_watch`] | boot and wall clock, and how far nodes are apart |
//! | [`journal`] | how large log and snapshots are |
//! | [`failure`] | why a call on a node gave nothing |
//! | [`status`] | what a node tells about itself and its peers |
//! | [`settings`] | timeouts and limits |
//! | [`snapshot_file`] | a snapshot on its way between disk and network |
//! | [`network`] | openraft's calls between nodes, as frames |
//! | `transport` | the connections for them: mutual TLS, keys pinned |
//! | `freshness` | how a node proves that its view is fresh |
//! | [`sources`] | since when the view holds what somebody else had decided |
//! | [`trace`] | the trace of a request, as far as it goes with a proposal |
//! | [`watch`] | a value that many watch, in order |
//! | [`offline`] | a data folder that no node has open |
//! | [`replica`] | one member of the cluster, over any runtime and network |
//! | [`raft`] | the facade |
//! | `own_runtime` | the threads under it |

pub mod blocking;
pub mod clock_watch;
pub mod damage;
pub mod defects;
pub mod engine;
pub mod failure;
pub mod folder;
mod freshness;
mod gate;
pub mod journal;
pub mod log_store;
pub mod machine;
pub mod network;
pub mod offline;
pub mod outside;
mod own_runtime;
pub mod published;
pub mod raft;
pub mod replica;
pub mod settings;
pub mod snapshot;
pub mod snapshot_file;
pub mod sources;
pub mod state_machine;
pub mod status;
pub mod storage;
pub mod trace;
mod transport;
pub mod types;
pub mod watch;

pub use clock_watch::{Clocks, Instants, SystemClocks};
pub use engine::{DiskReport, DiskTrouble, FLUSH_MICROS};
pub use failure::{
    DialError, Dismissed, MemberError, NotFresh, NotReached, NotWelcome, OpenError, ProposeError, Unconfirmed,
};
pub use gate::Gate;
pub use machine::{Capture, Machine, Removal};
pub use published::{Board, Published};
pub use raft::{Options, Raft};
pub use settings::Settings;
pub use snapshot_file::SnapshotFile;
pub use sources::{SourceId, Sources};
pub use status::{Member, Role, Status};
pub use trace::{Observation, Observer, Stage, Trace};
pub use transport::{Doorkeeper, Identity, KnockError, announce_succession, knock, public_key_digest};
pub use types::{Answer, Committed, NodeId, Peer, Proposal, Types};
