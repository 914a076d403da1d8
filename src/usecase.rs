//! The use cases: one function for each thing that a caller can ask for.

pub mod cluster;
