//! End to end: real processes, real sockets, real disks, started from the files in `cluster-configs/`.
//!
//! Few clusters run at a time. Every wait has a deadline and looks for what it waits for.
#![expect(
    clippy::panic,
    clippy::print_stderr,
    reason = "a test panics when a promise is broken, and says what it saw"
)]

mod bad_homes;
mod bootstrap;
mod circle;
mod circle_cut;
mod circle_of_liars;
mod circle_of_three;
mod cluster;
mod command_line;
mod config_files;
mod dev;
mod drill;
mod eventually;
mod failing_disk;
mod failover;
mod floor;
mod given_up;
mod growing;
mod http;
mod impostor;
mod join_key;
mod keys;
mod lifecycle;
mod link;
mod load;
mod lost;
mod membership;
mod node;
mod pairing;
mod ports;
mod promises;
mod races;
mod readiness;
mod recovery;
mod rotation;
mod scripts;
mod secrets;
mod stale_views;
mod tokens;
mod tracing;
mod upgrade;
