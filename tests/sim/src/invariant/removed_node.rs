//! Whoever has the identity of a removed node is given no master key from when the removal was acknowledged.

use std::collections::BTreeMap;

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct RemovedNode {
    /// When each removal was acknowledged.
    removed: BTreeMap<NodeId, u64>,
}

impl Invariant for RemovedNode {
    fn name(&self) -> &'static str {
        "removed-node"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Removed { node } => {
                self.removed.entry(*node).or_insert(now);
                Ok(())
            }
            Event::KeyGiven { node, to, sent } => match self.removed.get(to) {
                Some(at) if sent > at => {
                    let late_ms = (sent - at) / 1_000_000;
                    Err(format!(
                        "node {node} gave a master key to node {to}, asked {late_ms} ms after that was removed"
                    ))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
