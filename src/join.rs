//! How a node joins a cluster: it knocks at any member and proves a join token, which it never sends. Where machines are
//! set up by files, a join key that an operator has placed on every node takes the place of the token; the master key
//! must have been placed as well then, is proved in the same way, and is not sent.
//!
//! Both sides prove the token's secret by an HMAC over the TLS session's exporter and the message, so neither a replay
//! nor somebody in the middle gets anywhere. Redeeming the token and recording the joiner's key are one command of the
//! log, repeatable for the same key only. The answer carries what the joiner needs: its id, its certificate, the
//! cluster's CA, and the master key.

mod gate;
mod joiner;
mod messages;

pub use gate::JoinGate;
pub use joiner::{Invitation, JoinError, Joined, Joining, join, join_by_key};

/// Takes a frame apart as a member does that has not seen a proof yet, and reads what a proof would let it read.
pub(crate) fn read_any_frame(frame: &[u8]) {
    if let Some(frame) = messages::RequestFrame::parse(frame) {
        frame.read_unproved();
    }
}
