//! How a node joins a cluster.
