//! HTTP tests against a real node: each starts the binary on a home of its own and writes a transcript of what was
//! asked and answered. What differs between runs (ids, tokens, times) is replaced by its name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on says so by panicking")]

mod audit;
mod auth;
mod backup;
mod bad_input;
mod circle;
mod circle_keys;
mod cluster;
mod decoded;
mod doctor;
mod encrypted;
mod entitled;
mod every_endpoint;
mod feed;
mod flooding;
mod guessing;
mod heir;
mod keys;
mod legacy;
mod lineage;
mod listing;
mod memory_limit;
mod metrics;
mod names;
mod offline;
mod openapi;
mod overload;
mod pairing;
mod people;
#[path = "../support/ports.rs"]
mod ports;
mod refusals;
mod routes;
mod server;
mod sound_client;
mod strangers;
mod system;
mod tokens;
mod transcript;
mod trust_and_config;
mod verify;
mod watermarks;

/// One test under this name with the transcript that it wrote.
macro_rules! transcript_test {
    ($name:ident, $test:expr) => {
        #[tokio::test]
        async fn $name() {
            let server = crate::server::Server::start();
            let mut transcript = crate::transcript::Transcript::of(&server);
            let test = $test;
            test(&mut transcript).await;
            insta::assert_snapshot!(stringify!($name), transcript.text());
        }
    };
}
pub(crate) use transcript_test;
