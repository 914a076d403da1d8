//! Once an administrator was told that a neighbour is trusted no more, none of its tokens is good until somebody begins to
//! trust it again: by no view that has it, and what can be revoked on no node at all from the bound on.

use std::collections::BTreeMap;

use circlet_token::ServiceId;

use super::Invariant;
use crate::history::Event;
use crate::staleness::Staleness;

#[derive(Debug, Default)]
pub(super) struct EndedTrust {
    staleness: Staleness,
    /// By issuer: as of which index it is trusted no more, and when that was acknowledged.
    ended: BTreeMap<ServiceId, (u64, u64)>,
}

impl Invariant for EndedTrust {
    fn name(&self) -> &'static str {
        "ended-trust"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Staleness { ms } => self.staleness.set(now, *ms),
            Event::TrustEnded { issuer, index } => {
                self.ended.insert(issuer.clone(), (*index, now));
            }
            // It trusts whom its backup does.
            Event::Begun { .. } => self.ended.clear(),
            Event::TrustBegins { issuer } => {
                self.ended.remove(issuer);
            }
            Event::VerifiedAbroad { node, id, issuer, revocable, view, sent, accepted: true, .. } => {
                let Some((index, at)) = self.ended.get(issuer) else { return Ok(()) };
                if view >= index {
                    return Err(format!(
                        "node {node} at {view} accepted token {id} of {issuer}, which is trusted no more since {index}"
                    ));
                }
                if *revocable && *sent > self.staleness.ends(*at) {
                    let late_ms = (sent - at) / 1_000_000;
                    return Err(format!(
                        "node {node} accepted token {id} of {issuer}, asked {late_ms} ms after the trust in it had ended"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
