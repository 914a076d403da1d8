//! No plain token is from the future, whatever one clock does: it would come alive when the revocation that ended it may be
//! forgotten.

use super::Invariant;
use crate::clock::START_MS;
use crate::history::Event;

/// How far ahead the state's time may be (`time`), by which a node dates whose own clock is behind; that is more than clocks
/// may differ which agree.
const AHEAD_MS_MAX: u64 = 11_000;

#[derive(Debug, Default)]
pub(super) struct Dated;

impl Invariant for Dated {
    fn name(&self) -> &'static str {
        "dated"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        let Event::Dated { node, dated_ms, allowed_ms } = event else { return Ok(()) };
        let truth = START_MS + now / 1_000_000;
        match dated_ms.saturating_sub(truth) {
            ahead if ahead > allowed_ms + AHEAD_MS_MAX => {
                Err(format!("node {node} issued a plain token that is dated {ahead} ms ahead"))
            }
            _ => Ok(()),
        }
    }
}
