//! The cluster's signing keys, unsealed.
