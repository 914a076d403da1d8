//! A verification of a revocable token of another cluster, sent later than the bound after its revoke was acknowledged
//! there, or after it was acknowledged that its key leaked, is refused by every node here, also while the clusters are cut
//! off from each other.

use std::collections::BTreeMap;

use circlet_token::{KeyId, TokenId};

use super::Invariant;
use crate::history::Event;

/// Clocks show whole milliseconds: the leader's and the asking node's, when each reads them.
const ROUNDING: u64 = 4_000_000;

#[derive(Debug, Default)]
pub(super) struct RevokedAbroad {
    /// `circle.max-staleness` and 200 ppm of drift, in nanoseconds.
    bound: Option<u64>,
    revoked: BTreeMap<TokenId, u64>,
    /// For each subject, watermarks: when acknowledged, and below which index they refuse.
    marks: BTreeMap<u64, Vec<(u64, u64)>>,
    tainted: BTreeMap<KeyId, u64>,
}

impl Invariant for RevokedAbroad {
    fn name(&self) -> &'static str {
        "revoked-abroad"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::CircleBound { ms } => self.bound = Some(ms * 1_000_000 + ms * 200 + ROUNDING),
            Event::RevokedAbroad { id } => {
                self.revoked.entry(*id).or_insert(now);
            }
            Event::WatermarkAbroad { subject, index } => {
                self.marks.entry(*subject).or_default().push((now, *index));
            }
            Event::TaintedAbroad { kid } => {
                self.tainted.entry(kid.clone()).or_insert(now);
            }
            Event::VerifiedAbroad {
                node,
                id,
                subject,
                index,
                kid,
                sent,
                accepted: true,
                revocable: true,
                ..
            } => {
                let marks = self.marks.get(subject).into_iter().flatten();
                let marked = marks.filter(|(_, below)| index < below).map(|(at, _)| *at);
                let ended = self.revoked.get(id).into_iter().chain(self.tainted.get(kid)).copied();
                let first = ended.chain(marked).min();
                if let (Some(at), Some(bound)) = (first, self.bound)
                    && *sent > at + bound
                {
                    let late_ms = (sent - at) / 1_000_000;
                    return Err(format!(
                        "node {node} accepted token {id} of the neighbours, asked {late_ms} ms after its revoke"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
