//! How decisions replicate: openraft over a durable log and mutual TLS. Knows no token.
//!
//! | module | holds |
//! |---|---|
//! | [`types`] | ids, peers, entries; openraft's type configuration |
//! | [`machine`] | what is replicated, as a trait |
//! | [`published`] | the one value that readers load: view, index, freshness |
//! | [`clock_watch`] | boot and wall clock, and how far nodes are apart |
//! | [`settings`] | timeouts and limits |

pub mod clock_watch;
pub mod machine;
pub mod published;
pub mod settings;
pub mod types;

pub use clock_watch::{Clocks, Instants, SystemClocks};
pub use machine::{Capture, Machine};
pub use published::{Board, Published};
pub use settings::Settings;
pub use types::{Answer, NodeId, Peer, Proposal, Types};
