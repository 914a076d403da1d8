//! TLS for client traffic.
