//! The use cases: one function for each thing that a caller can ask for.
//!
//! A use case takes a `Session` (who asks, on what) and typed input, checks policy on a view for a good and early
//! error, has the cluster decide if something changes, and writes the audit line before it returns. It knows no
//! HTTP: the edge parses what comes in and shapes what goes out.

pub(crate) mod backup;
pub(crate) mod bounds;
pub(crate) mod circle;
pub mod cluster;
pub(crate) mod config;
pub(crate) mod failure;
pub(crate) mod forward;
pub(crate) mod groups;
pub(crate) mod import;
pub(crate) mod issue;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod reading;
pub(crate) mod refresh;
pub(crate) mod refusal;
pub(crate) mod revoke;
mod session;
pub(crate) mod trust;
pub(crate) mod turnover;
pub(crate) mod users;
pub(crate) mod verify;
pub(crate) mod watermarks;

pub(crate) use session::Session;
