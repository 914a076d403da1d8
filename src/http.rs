//! The HTTP edge: bytes in, bytes out. It parses, authenticates, calls one use case and says what came of it in
//! the words of the API that was asked.
//!
//! `router` is the table of what is served, in axum's terms. A handler takes a `Call`, a request that was read within
//! its bounds, and returns an answer or a failure; `edge::answer` lies around all of them and says a failure in the
//! shape that clients of the path read. [`server`] accepts the connections and bounds them.

pub mod edge;
pub mod server;
pub mod tls;

mod access;
mod admission;
pub(crate) mod answer;
mod attempt;
mod backup;
pub(crate) mod body;
mod call;
mod circle;
mod circlet;
mod cluster;
pub(crate) mod errors;
mod feed;
mod import;
mod keys;
mod legacy;
mod openapi;
mod paging;
mod path;
mod places;
mod prompt;
mod receive;
pub(crate) mod request_id;
mod router;
mod routes;
mod system;
mod trust;
mod users_legacy;
mod users_v2;
mod watermarks;
