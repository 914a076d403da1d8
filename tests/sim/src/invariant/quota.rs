//! Of a neighbour's feed no more is kept than an administrator allows, and nothing that can be revoked is accepted of one
//! that has more.

use std::collections::BTreeMap;

use circlet_token::ServiceId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct Quota {
    /// From which index on how many entries may be kept.
    most: BTreeMap<u64, u64>,
    /// By issuer: from which index on it has more, or hasn't.
    over: BTreeMap<ServiceId, BTreeMap<u64, bool>>,
}

impl Invariant for Quota {
    fn name(&self) -> &'static str {
        "quota"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Quota { index, most } => {
                self.most.insert(*index, *most);
            }
            Event::Kept { node, index, issuer, entries, grew, over } => {
                self.over.entry(issuer.clone()).or_default().insert(*index, *over);
                let most = self.most.range(..=*index).next_back().map_or(u64::MAX, |(_, most)| *most);
                if *grew && *entries > most {
                    return Err(format!(
                        "node {node} keeps {entries} entries of {issuer} at {index}, {most} are allowed"
                    ));
                }
            }
            Event::VerifiedAbroad { node, id, issuer, view, revocable: true, accepted: true, .. } => {
                let over = self.over.get(issuer).and_then(|over| over.range(..=*view).next_back());
                if over.is_some_and(|(_, over)| *over) {
                    return Err(format!(
                        "node {node} at {view} accepted token {id} of {issuer}, of which not all is kept that is revoked"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
