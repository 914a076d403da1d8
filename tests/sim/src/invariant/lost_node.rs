//! Once what a lost node knew is said to be replaced, no state holds any of it: neither the master key, nor a key that signs
//! or verifies, nor the CA's, nor the refresh secret.

use std::collections::{BTreeMap, BTreeSet};

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct LostNode {
    /// The secrets that each node has had in its state, or on its disk.
    known: BTreeMap<NodeId, BTreeSet<u64>>,
}

impl Invariant for LostNode {
    fn name(&self) -> &'static str {
        "lost-node"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::KeysKept { node, kept } => {
                self.known.entry(*node).or_default().extend(kept);
                Ok(())
            }
            Event::Secrets { node, index, sums, lost } => {
                for id in lost {
                    let known = self.known.get(id);
                    if let Some(sum) = sums.iter().find(|sum| known.is_some_and(|known| known.contains(sum)))
                    {
                        return Err(format!(
                            "node {node} has secret {sum:016x} at {index}, which the lost node {id} knew"
                        ));
                    }
                }
                self.known.entry(*node).or_default().extend(sums);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
