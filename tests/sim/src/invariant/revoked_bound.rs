//! A verification that was sent later than the bound after a revoke was acknowledged is refused by every node. A token
//! that isn't revocable needs no fresh view: a watermark refuses it on fresh nodes, and elsewhere when a cut-off node
//! stops (the price of working without a leader).

use std::collections::BTreeMap;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

/// `verify.max-staleness`, by default two seconds, and 200 ppm of drift; clocks show whole milliseconds.
const BOUND: u64 = 2_000_000_000 + 400_000 + 2_000_000;

#[derive(Debug, Default)]
pub(super) struct RevokedBound {
    revoked: BTreeMap<TokenId, u64>,
    /// For each subject, watermarks: when acknowledged, and below which index they refuse.
    marks: BTreeMap<u64, Vec<(u64, u64)>>,
}

impl Invariant for RevokedBound {
    fn name(&self) -> &'static str {
        "revoked-bound"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Revoked { id: Some(id), .. } => {
                self.revoked.entry(*id).or_insert(now);
            }
            Event::Watermark { subject, index } => {
                self.marks.entry(*subject).or_default().push((now, *index));
            }
            Event::Verified { node, id, subject, index, sent, accepted: true, revocable: true, .. } => {
                let marks = self.marks.get(subject).into_iter().flatten();
                let marked = marks.filter(|(_, below)| index < below).map(|(at, _)| *at);
                let first = self.revoked.get(id).copied().into_iter().chain(marked).min();
                if let Some(at) = first
                    && *sent > at + BOUND
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
