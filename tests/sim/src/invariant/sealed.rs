//! In every state each secret opens under the master key of that state: what is sealed under a former one is not taken.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct Sealed;

impl Invariant for Sealed {
    fn name(&self) -> &'static str {
        "sealed"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Shut { node, index, what } => {
                Err(format!("node {node} has a secret at {index} that its master key doesn't open: {what}"))
            }
            _ => Ok(()),
        }
    }
}
