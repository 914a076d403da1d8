//! A verification of a revocable token of another cluster, sent later than the bound after its revoke was acknowledged
//! there, or a watermark on it, of whatever kind, or that its key leaked, is refused by every node here, also while the
//! clusters are cut off from each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use circlet_token::{KeyId, ServiceId, TokenId};

use super::Invariant;
use super::thefts::Thefts;
use crate::history::Event;
use crate::mark::Mark;

/// Clocks show whole milliseconds: the leader's and the asking node's, when each reads them.
const ROUNDING: u64 = 4_000_000;

#[derive(Debug, Default)]
pub(super) struct RevokedAbroad {
    /// `circle.max-staleness` and 200 ppm of drift, in nanoseconds.
    bound: Option<u64>,
    revoked: BTreeMap<TokenId, u64>,
    /// Watermarks of each neighbour, and when each was acknowledged.
    marks: BTreeMap<ServiceId, Vec<(u64, Arc<Mark>)>>,
    tainted: BTreeMap<KeyId, u64>,
    thefts: Thefts,
}

impl Invariant for RevokedAbroad {
    fn name(&self) -> &'static str {
        "revoked-abroad"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        self.thefts.learn(now, event);
        match event {
            Event::CircleBound { ms } => self.bound = Some(ms * 1_000_000 + ms * 200 + ROUNDING),
            Event::RevokedAbroad { id } => {
                self.revoked.entry(*id).or_insert(now);
            }
            Event::MarkedAbroad { issuer, mark } => {
                self.marks.entry(issuer.clone()).or_default().push((now, Arc::clone(mark)));
            }
            Event::TaintedAbroad { kid } => {
                self.tainted.entry(kid.clone()).or_insert(now);
            }
            Event::VerifiedAbroad {
                node,
                id,
                issuer,
                facts,
                kid,
                sent,
                accepted: true,
                revocable: true,
                ..
            } => {
                let marks = self.marks.get(issuer).into_iter().flatten();
                let marked = marks.filter(|(_, mark)| mark.ends(facts)).map(|(at, _)| *at);
                let ended = self.revoked.get(id).into_iter().chain(self.tainted.get(kid)).copied();
                let first = ended.chain(marked).min();
                if let (Some(at), Some(bound)) = (first, self.bound)
                    && *sent > at + bound
                    && !self.thefts.excuse(issuer, *sent, bound)
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
