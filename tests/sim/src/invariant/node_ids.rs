//! A node's id belongs to one key for ever: whoever lost a disk comes back as another node.

use std::collections::BTreeMap;

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct NodeIds {
    keys: BTreeMap<NodeId, u64>,
}

impl Invariant for NodeIds {
    fn name(&self) -> &'static str {
        "node-ids"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let Event::Members { node, index, keys, .. } = event else { return Ok(()) };
        for (id, key) in keys {
            let first = self.keys.entry(*id).or_insert(*key);
            if first != key {
                return Err(format!("node {node} has node {id} with another key at {index}"));
            }
        }
        Ok(())
    }
}
