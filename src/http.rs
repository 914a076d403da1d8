//! The HTTP edge: bytes in, bytes out. It parses, authenticates, calls one use case and says what came of it in
//! the words of the API that was asked.
//!
//! It stands on hyper directly: paths have several spellings and errors several shapes, so routing is a table of our
//! own (`route`), and nothing lies between a connection and the handler of a hot endpoint.

pub mod edge;
pub mod server;
pub mod tls;

mod access;
pub(crate) mod answer;
pub(crate) mod body;
mod call;
mod circlet;
mod cluster;
pub(crate) mod errors;
mod legacy;
pub(crate) mod percent;
mod prompt;
mod receive;
pub(crate) mod request_id;
mod route;
mod system;
mod users_legacy;
mod users_v2;
