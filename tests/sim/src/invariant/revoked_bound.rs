//! A verification that was sent later than the bound after a revoke was acknowledged is refused by every node. A token
//! that isn't revocable needs no fresh view: a watermark refuses it on fresh nodes, and elsewhere when a cut-off node
//! stops (the price of working without a leader).

use std::collections::BTreeMap;
use std::sync::Arc;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;
use crate::mark::{Facts, Mark};
use crate::staleness::Staleness;

#[derive(Debug, Default)]
pub(super) struct RevokedBound {
    staleness: Staleness,
    revoked: BTreeMap<TokenId, u64>,
    /// For each subject, watermarks: when acknowledged, and below which index they refuse.
    marks: BTreeMap<u64, Vec<(u64, u64)>>,
    /// Watermarks of other kinds, and when each was acknowledged.
    others: Vec<(u64, Arc<Mark>)>,
    known: BTreeMap<TokenId, Arc<Facts>>,
}

impl RevokedBound {
    /// When it was first acknowledged that this token had ended.
    fn ended(&self, id: &TokenId, subject: u64, index: u64) -> Option<u64> {
        let marks = self.marks.get(&subject).into_iter().flatten();
        let marked = marks.filter(|(_, below)| index < *below).map(|(at, _)| *at);
        let facts = self.known.get(id);
        let others = self
            .others
            .iter()
            .filter(|(_, mark)| facts.is_some_and(|facts| mark.ends(facts)))
            .map(|(at, _)| *at);
        self.revoked.get(id).copied().into_iter().chain(marked).chain(others).min()
    }
}

impl Invariant for RevokedBound {
    fn name(&self) -> &'static str {
        "revoked-bound"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Staleness { ms } => self.staleness.set(now, *ms),
            Event::Revoked { id: Some(id), .. } => {
                self.revoked.entry(*id).or_insert(now);
            }
            Event::Watermark { subject, index } => {
                self.marks.entry(*subject).or_default().push((now, *index));
            }
            Event::Marked(mark) => self.others.push((now, Arc::clone(mark))),
            Event::Known { id, facts } => {
                self.known.entry(*id).or_insert_with(|| Arc::clone(facts));
            }
            Event::Verified { node, id, subject, index, sent, accepted: true, revocable: true, .. } => {
                if let Some(at) = self.ended(id, *subject, *index)
                    && *sent > self.staleness.ends(at)
                {
                    let late_ms = (sent - at) / 1_000_000;
                    return Err(format!(
                        "node {node} accepted token {id}, asked {late_ms} ms after its revoke"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
