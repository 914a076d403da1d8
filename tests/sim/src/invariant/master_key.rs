//! Who said that it has a master key on its disk has it there, or a later one, whatever becomes of it: it can open what the
//! state seals, running or started again. A master key that takes its place is on the disks of a majority of the voters.

use std::collections::{BTreeMap, BTreeSet};

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct MasterKey {
    /// Keys by when they took their place, the first first.
    order: BTreeMap<u64, usize>,
    promised: BTreeMap<NodeId, BTreeSet<u64>>,
    kept: BTreeMap<NodeId, BTreeSet<u64>>,
    /// Whose disk forgot what it held, or was damaged there.
    spoilt: BTreeSet<NodeId>,
}

impl MasterKey {
    /// The latest of these that has taken its place.
    fn latest(&self, keys: Option<&BTreeSet<u64>>) -> Option<usize> {
        keys.into_iter().flatten().filter_map(|key| self.order.get(key)).max().copied()
    }

    /// Whether a node has what it said.
    fn check(&self, node: NodeId) -> Result<(), String> {
        let Some(kept) = self.kept.get(&node).filter(|_| !self.spoilt.contains(&node)) else {
            return Ok(());
        };
        let (said, has) = (self.latest(self.promised.get(&node)), self.latest(Some(kept)));
        if has >= said && (has.is_some() || self.order.is_empty()) {
            return Ok(());
        }
        Err(format!("node {node} has said that it has master key {said:?}, and its disk has {has:?}"))
    }

    fn take_place(&mut self, index: u64, key: u64, voters: &[NodeId]) -> Result<(), String> {
        if self.order.contains_key(&key) {
            return Ok(());
        }
        let is_on = |node: &&NodeId| {
            self.spoilt.contains(node) || self.kept.get(node).is_some_and(|kept| kept.contains(&key))
        };
        let holding = voters.iter().filter(is_on).count();
        if !voters.is_empty() && 2 * holding <= voters.len() {
            let all = voters.len();
            return Err(format!("the master key of {index} is on {holding} of the disks of {all} voters"));
        }
        self.order.insert(key, self.order.len());
        self.promised.keys().try_for_each(|node| self.check(*node))
    }
}

impl Invariant for MasterKey {
    fn name(&self) -> &'static str {
        "master-key"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            // Its nodes are others, and so is its master key.
            Event::Begun { .. } => *self = Self::default(),
            Event::SetBack { node } | Event::KeyFileDamaged { node } => drop(self.spoilt.insert(*node)),
            Event::KeyPromised { node, key } => {
                self.promised.entry(*node).or_default().insert(*key);
                return self.check(*node);
            }
            Event::KeysKept { node, kept } => {
                self.kept.insert(*node, kept.iter().copied().collect());
                return self.check(*node);
            }
            Event::MasterKey { index, key, voters, .. } => return self.take_place(*index, *key, voters),
            _ => {}
        }
        Ok(())
    }
}
