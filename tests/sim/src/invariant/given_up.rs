//! Given up is for good: who has said that it knows never starts again, and serves nothing as soon as its answer must have
//! arrived. Who is given up is said by members of its own generation, and nobody accepts what it has issued since. Whose floor
//! was taken acknowledges nothing.

use std::collections::BTreeMap;

use circlet_raft::NodeId;

use super::Invariant;
use crate::history::Event;

/// For so long at most a node waits until whoever told it has hung up, in nanoseconds: `raft.dial-timeout-ms`, and a little.
const STOPS: u64 = 1_010_000_000;

#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// Who has said that it knows, and when.
    know: BTreeMap<NodeId, u64>,
    /// Their floors were taken.
    floors_taken: bool,
    /// From which index on they require none, where an administrator has said so.
    required: Option<(u64, bool)>,
}

impl Invariant for GivenUp {
    fn name(&self) -> &'static str {
        "given-up"
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
            Event::FloorsTaken => {
                self.floors_taken = true;
                return Ok(());
            }
            Event::FloorRequired { index, required, .. } => {
                if self.required.is_none_or(|(known, _)| known <= *index) {
                    self.required = Some((*index, *required));
                }
                return Ok(());
            }
            Event::Acknowledged { node, index, .. }
                if self.floors_taken && self.required.is_none_or(|(_, required)| required) =>
            {
                return Err(format!("node {node} acknowledged {index}, and its floor was taken"));
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
