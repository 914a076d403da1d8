//! The crate from the outside, in one binary: hostile vectors, properties, keys and certificates, persisted forms.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what fails in a test fails the test")]

mod certificates;
mod data;
mod feed;
mod follower;
mod forge;
mod hostile;
mod keys;
mod minting;
mod persisted;
mod properties;
mod remembering;
mod themes;
mod vectors;
