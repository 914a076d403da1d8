//! What clients were told has an order in which one copy of each object could have said it: issuing, refreshing and
//! revoking tokens, users, issuers, the configuration, and what was read of them. A verification may speak of any moment
//! since the bound before it was sent, and so may have been asked for that much earlier.

use super::Invariant;
use crate::history::Event;
use crate::linear::{self, Operation};

#[derive(Debug, Default)]
pub(super) struct Linearizable {
    operations: Vec<Operation>,
}

impl Invariant for Linearizable {
    fn name(&self) -> &'static str {
        "linearizable"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Operation(operation) => self.operations.push(operation.clone()),
            // What is not in the backup never happened to the cluster that begins.
            Event::Begun { .. } => return linear::check(&std::mem::take(&mut self.operations)),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        linear::check(&self.operations)
    }
}
