//! Nothing live is purged, and no needed revocation disappears, whatever one clock does: what goes had expired when the purge
//! was marked, and the margin has passed since, by the state's own time; and it has expired in truth.

use super::Invariant;
use crate::clock::START_MS;
use crate::history::Event;

/// How far the state's time may be ahead of the truth, in seconds: see the invariant `time`. Nodes go by it as well, so
/// that what is purged early by so much is expired for all of them.
const AHEAD_SECS_MAX: u64 = 12;

#[derive(Debug, Default)]
pub(super) struct Purge;

impl Invariant for Purge {
    fn name(&self) -> &'static str {
        "purge"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        let Event::Forgotten { node, index, what, until, over } = event else { return Ok(()) };
        let truth = (START_MS + now / 1_000_000) / 1_000;
        for (by, most) in [("in truth", truth + AHEAD_SECS_MAX), ("by its own time", *over)] {
            if *until > most {
                let secs = until - most;
                return Err(format!("node {node} forgot {what} at {index}, {by} {secs} s too early"));
            }
        }
        Ok(())
    }
}
