//! The circlet node: HTTP edge, use cases, trust directory, command line. The only place that wires the crates together.

// What enters from outside the process.
pub mod clock;
pub mod home;
pub mod secret;

// Secrets and the texts made with them.
pub mod certificates;
mod derivation;
pub mod invitation;
pub mod join_key;
pub mod join_token;
pub mod keys;
pub mod password;
pub mod reference_token;
pub mod refresh_token;
pub mod seal;

// What outlives a cluster.
pub mod backup;
pub mod floor;

// The replicated authority, as the rest of the node sees it.
pub mod cluster;
pub mod feature_level;
pub mod join;
pub mod machine;
pub mod version;

// From a request to a command or an answer.
pub mod audit;
pub mod authenticate;
mod digest;
pub mod http;
mod percent;
pub mod usecase;

// The process, how it fares, and what it tells of that.
pub mod headroom;
mod health;
mod metrics;
pub mod node;
pub mod trace;

// What the node keeps by itself: keys on their way, files that an operator changes.
pub mod announce;
pub mod circle;
pub mod config_files;
pub mod key_directory;
pub mod renewal;
pub mod rotation;
pub mod trust_directory;
pub mod turnover;
pub mod watched;

// What others may throw bytes at.
pub mod outside;

// The command line.
pub mod cli;
pub mod client;
pub mod dev;
pub mod doctor;
pub mod drill;

// For tests of more than one room.
#[cfg(test)]
mod founded;
