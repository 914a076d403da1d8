//! The state's time never goes back, and no clock carries it away.

use std::collections::BTreeMap;

use super::Invariant;
use crate::clock::START_MS;
use crate::history::Event;

/// How far ahead of true time the state's may be: what a leader's clock may be off, with some drift of the median.
const AHEAD_MS_MAX: u64 = 11_000;

#[derive(Debug, Default)]
pub(super) struct Time {
    /// For each index, the state's time.
    at: BTreeMap<u64, u64>,
}

impl Invariant for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        let (node, index, now_ms) = match event {
            Event::Applied { node, index, now_ms, .. } => (node, index, now_ms),
            // What time the lost nodes had come to is lost with them.
            Event::Begun { .. } => {
                self.at.clear();
                return Ok(());
            }
            _ => return Ok(()),
        };
        if let Some((before, earlier)) = self.at.range(..=*index).next_back()
            && earlier > now_ms
        {
            return Err(format!(
                "on node {node} it is {now_ms} at {index}, but it was {earlier} at {before}"
            ));
        }
        self.at.insert(*index, *now_ms);
        let truth = START_MS + now / 1_000_000;
        if *now_ms > truth + AHEAD_MS_MAX {
            let ahead = now_ms - truth;
            return Err(format!("the state's time is {ahead} ms ahead at {index}"));
        }
        Ok(())
    }
}
