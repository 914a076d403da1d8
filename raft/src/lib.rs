//! How decisions replicate: openraft over a durable log and mutual TLS. Knows no token.
//!
//! | module | holds |
//! |---|---|
//! | [`types`] | ids, peers, entries; openraft's type configuration |
//! | [`machine`] | what is replicated, as a trait |
//! | [`published`] | the one value that readers load: view, index, freshness |
//! | [`clock_watch`] | boot and wall clock, and how far nodes are apart |
//! | [`settings`] | timeouts and limits |
//! | [`snapshot_file`] | a snapshot on its way between disk and network |
//! | [`raft`] | the facade |

pub mod clock_watch;
pub mod machine;
pub mod published;
pub mod raft;
pub mod settings;
pub mod snapshot_file;
pub mod types;

pub use clock_watch::{Clocks, Instants, SystemClocks};
pub use machine::{Capture, Machine};
pub use published::{Board, Published};
pub use raft::{
    Committed, Gate, Identity, KnockError, Member, MemberError, NotFresh, NotReached, OpenError, Options,
    ProposeError, Raft, Role, Status, knock,
};
pub use settings::Settings;
pub use snapshot_file::SnapshotFile;
pub use types::{Answer, NodeId, Peer, Proposal, Types};
