//! Replicas, and the store under them, as whoever runs them sees them. One program, so that what openraft generates is
//! compiled once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails on the spot")]

mod cluster;
mod ledger;
#[path = "../support/lines.rs"]
mod lines;
#[path = "../support/nodes.rs"]
mod nodes;
mod partition;
#[path = "../../../tests/support/ports.rs"]
mod ports;
mod snapshots;
mod storage;
mod succession;
#[path = "../support/wires.rs"]
mod wires;
