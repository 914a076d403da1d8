//! At an equal index every node has applied the same entry with the same outcome, and is in the same state.

use std::collections::BTreeMap;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct Agreement {
    applied: BTreeMap<u64, u64>,
    whole: BTreeMap<u64, u64>,
}

impl Invariant for Agreement {
    fn name(&self) -> &'static str {
        "agreement"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let (known, node, index, sum) = match event {
            Event::Applied { node, index, sum, .. } => (&mut self.applied, node, index, sum),
            Event::Whole { node, index, sum } => (&mut self.whole, node, index, sum),
            _ => return Ok(()),
        };
        let first = known.entry(*index).or_insert(*sum);
        if first == sum {
            return Ok(());
        }
        Err(format!("node {node} has {sum:016x} at {index}, others have {first:016x}"))
    }
}
