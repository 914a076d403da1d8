//! The level of features that the cluster writes at.

use std::sync::Arc;

use super::Applied;
use crate::{command::FeatureLevel, outcome::Outcome, record::Node, refusal::Refusal, state::State};

impl State {
    pub(super) fn change_feature_level(&mut self, change: FeatureLevel) -> Applied {
        match change {
            FeatureLevel::Support { node, level } => self.note_support(node, level),
            FeatureLevel::Raise { to } => self.raise_feature_level(to),
        }
    }

    fn note_support(&mut self, id: u64, level: u32) -> Applied {
        let node = self.nodes.get(&id).ok_or(Refusal::NodeUnknown { node: id })?;
        self.check_support(level)?;
        let node = Node { supports: level, ..node.as_ref().clone() };
        self.nodes.insert(id, Arc::new(node));
        Ok(Outcome::Done)
    }

    fn raise_feature_level(&mut self, to: u32) -> Applied {
        // Those that were only admitted count too: they read the log as soon as they come.
        if let Some(node) = self.nodes.values().find(|node| node.supports < to) {
            let (node, supports) = (node.record.id, node.supports);
            return Err(Refusal::LevelNotSupported { to, node, supports });
        }
        self.feature_level = self.feature_level.max(to);
        Ok(Outcome::Done)
    }

    /// Whether a node that supports so much can read what is written here.
    pub(super) fn check_support(&self, supports: u32) -> Result<(), Refusal> {
        let level = self.feature_level;
        if supports < level { Err(Refusal::NodeTooOld { level, supports }) } else { Ok(()) }
    }
}
