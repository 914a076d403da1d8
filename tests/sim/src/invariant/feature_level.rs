//! The feature level rises only once every node has said that it supports it, which it does; no node comes to a level that it
//! doesn't support, none is let in that supports less, and the level never goes back.

use std::collections::BTreeMap;

use circlet_authority::limits::FLOOR_FEATURE_LEVEL;
use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct FeatureLevel {
    /// The highest version that each node has been.
    been: BTreeMap<NodeId, u32>,
    /// What each has said last that it supports, and where.
    said: BTreeMap<NodeId, (u64, u32)>,
    /// At some indexes, which level there was.
    levels: BTreeMap<u64, u32>,
}

impl FeatureLevel {
    fn hear(&mut self, of: NodeId, index: u64, supports: u32) {
        let last = self.said.entry(of).or_insert((index, supports));
        if last.0 < index {
            *last = (index, supports);
        }
    }

    fn come_to(&mut self, node: NodeId, index: u64, level: u32) -> Result<(), String> {
        let before = self.levels.range(..=index).next_back();
        let after = self.levels.range(index..).next();
        if let Some((at, other)) = before.filter(|(_, other)| **other > level) {
            return Err(format!("node {node} is at level {level} at {index}, after {other} at {at}"));
        }
        if let Some((at, other)) = after.filter(|(_, other)| **other < level) {
            return Err(format!("node {node} is at level {level} at {index}, and at {at} there is {other}"));
        }
        self.levels.insert(index, level);
        Ok(())
    }

    fn rise(&self, node: NodeId, index: u64, to: u32, nodes: &[NodeId]) -> Result<(), String> {
        for of in nodes {
            let said = self.said.get(of).map(|(_, supports)| *supports);
            let supports = said.or_else(|| self.been.get(of).copied());
            if supports.is_some_and(|supports| supports < to) {
                return Err(format!(
                    "node {node} applied at {index} that the level rises to {to}; node {of} supports {supports:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for FeatureLevel {
    fn name(&self) -> &'static str {
        "feature-level"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Runs { node, version } => {
                let been = self.been.entry(*node).or_default();
                *been = (*been).max(*version);
            }
            Event::Level { node, level, version, index } => {
                if level > version {
                    return Err(format!(
                        "node {node}, which supports {version}, goes on at level {level}, at {index}"
                    ));
                }
                return self.come_to(*node, *index, *level);
            }
            Event::LevelLeft { level } => {
                // What had been decided since its backup is gone, its level too.
                let last = self.levels.keys().next_back().copied().unwrap_or(0);
                self.levels = BTreeMap::from([(last, *level)]);
            }
            Event::Said { of, supports, index, .. } => {
                if self.been.get(of).is_some_and(|been| been < supports) {
                    return Err(format!(
                        "node {of} said at {index} that it supports {supports}, which it never did"
                    ));
                }
                self.hear(*of, *index, *supports);
            }
            Event::LetIn { of, supports, level, index, .. } => {
                if supports < level {
                    return Err(format!(
                        "node {of} was let in at {index}, supports {supports}, and the level is {level}"
                    ));
                }
                self.hear(*of, *index, *supports);
            }
            Event::Rose { node, index, to, nodes } => return self.rise(*node, *index, *to, nodes),
            Event::FloorRequired { node, index, required: true } => {
                let level = self.levels.range(..=index).next_back().map(|(_, level)| *level);
                if level.is_some_and(|level| level < FLOOR_FEATURE_LEVEL) {
                    return Err(format!("node {node} has to keep a floor since {index}, at level {level:?}"));
                }
            }
            Event::Traced { node, version } => {
                return Err(format!("node {node}, of version {version}, was sent a proposal with a trace"));
            }
            _ => {}
        }
        Ok(())
    }
}
