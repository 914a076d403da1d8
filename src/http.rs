//! The HTTP edge.

pub mod tls;
