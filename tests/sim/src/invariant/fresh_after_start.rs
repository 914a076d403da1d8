//! A restarted node serves nothing before it has proved freshness: it neither vouches for a token nor refuses one, signs none
//! by itself, and lists none. What the log has decided since it asked it may sign: that the node has applied it says enough.
//!
//! Whether it has is asked of the node, and not left to its word: a view that was proved fresh since the start holds all that
//! had been acknowledged before the start.

use std::collections::BTreeMap;

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct FreshAfterStart {
    /// The greatest index that was acknowledged.
    acknowledged: u64,
    /// When each node last began to run, and what had been acknowledged by then.
    started: BTreeMap<NodeId, (u64, u64)>,
}

impl FreshAfterStart {
    /// Holds by which view a node did what it was asked for at `sent`, and what it says of itself.
    fn judge(&self, node: NodeId, view: u64, sent: u64, proved: bool, did: &str) -> Result<(), String> {
        if !proved {
            return Err(format!("node {node} {did} before it had proved freshness"));
        }
        match self.started.get(&node) {
            // What was asked for before may have been answered before.
            Some((at, known)) if sent > *at && view < *known => {
                Err(format!("node {node} {did} at {view}, and {known} was acknowledged before it started"))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for FreshAfterStart {
    fn name(&self) -> &'static str {
        "fresh-after-start"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Acknowledged { index, .. } => self.acknowledged = self.acknowledged.max(*index),
            Event::Started { node, .. } => {
                self.started.insert(*node, (now, self.acknowledged));
            }
            Event::Verified { node, id, view, sent, accepted, proved, .. } => {
                let did = if *accepted { "accepted" } else { "refused" };
                return self.judge(*node, *view, *sent, *proved, &format!("{did} token {id}"));
            }
            Event::Signed { node, kid, plain: true, view, sent, proved, .. } => {
                return self.judge(
                    *node,
                    *view,
                    *sent,
                    *proved,
                    &format!("signed a plain token with key {kid}"),
                );
            }
            Event::Listed { node, view, sent, proved } => {
                return self.judge(*node, *view, *sent, *proved, "read a list");
            }
            _ => {}
        }
        Ok(())
    }
}
