//! Every state keeps the authority's own rules, and no node stops by itself without cause.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct SoundState;

impl Invariant for SoundState {
    fn name(&self) -> &'static str {
        "sound-state"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Unsound { node, index, what } => Err(format!("node {node} at {index}: {what}")),
            Event::Stopped { node, why, expected: false } => {
                Err(format!("node {node} stopped itself: {why}"))
            }
            _ => Ok(()),
        }
    }
}
