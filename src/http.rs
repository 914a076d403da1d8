//! The HTTP edge: bytes in, bytes out. It parses, authenticates, calls one use case and says what came of it in
//! the words of the API that was asked.

//pub mod server;
pub mod tls;

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod errors;
pub(crate) mod percent;
pub(crate) mod request_id;
mod route;
