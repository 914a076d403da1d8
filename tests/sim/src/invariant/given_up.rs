//! Given up is for good: who has said that it knows never starts again, and serves nothing as soon as its answer must have
//! arrived. Who is given up is said by members of its own generation, and nobody accepts what it has issued since.

use std::collections::BTreeMap;

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

/// For so long at most a node waits until whoever told it has hung up, in nanoseconds: `raft.dial-timeout-ms`, and a little.
const STOPS: u64 = 1_010_000_000;

/// What it is called in reports.
pub(super) const NAME: &str = "given-up";

#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Who has said that it knows, and when.
    know: BTreeMap<NodeId, u64>,
}

impl Invariant for GivenUp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        let (node, sent, what) = match event {
            Event::KnowsItIsGivenUp { node } => {
                self.know.entry(*node).or_insert(now);
                return Ok(());
            }
            Event::Superseded { node, by, known: false } => {
                return Err(format!("node {node} gave up for the word of node {by}, which is no member"));
            }
            Event::ShownOfGivenUp { node, id, accepted: true } => {
                return Err(format!("node {node} accepted token {id} of nodes that were given up"));
            }
            Event::Started { node, .. } => (node, now + STOPS, "started"),
            Event::Verified { node, sent, accepted: true, .. } => (node, *sent, "accepted a token"),
            Event::Signed { node, sent, .. } => (node, *sent, "signed a token"),
            Event::Acknowledged { node, sent, .. } => (node, *sent, "acknowledged a write"),
            _ => return Ok(()),
        };
        match self.know.get(node) {
            Some(since) if sent > since + STOPS => {
                Err(format!("node {node} {what}, and had said before that it was given up"))
            }
            _ => Ok(()),
        }
    }
}
