//! Who joined as one that never votes gets no vote, whatever becomes of the cluster.

use std::collections::BTreeSet;

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct NeverVotes {
    nodes: BTreeSet<NodeId>,
}

impl Invariant for NeverVotes {
    fn name(&self) -> &'static str {
        "never-votes"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::NeverVotes { node } => {
                self.nodes.insert(*node);
            }
            Event::Members { node, index, voters, .. } => {
                if let Some(voter) = voters.iter().find(|voter| self.nodes.contains(voter)) {
                    return Err(format!("node {node} has node {voter} as one that votes at {index}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
