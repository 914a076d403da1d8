//! After a revoke is acknowledged, no refresh of the family succeeds and none is repeated.

use std::collections::BTreeMap;

use circlet_authority::FamilyId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct RevokedFamily {
    /// When the first revoke was acknowledged.
    revoked: BTreeMap<FamilyId, u64>,
}

impl Invariant for RevokedFamily {
    fn name(&self) -> &'static str {
        "revoked-family"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Revoked { family: Some(family), .. } => {
                self.revoked.entry(*family).or_insert(now);
                Ok(())
            }
            Event::Refreshed { family, sent, .. } => match self.revoked.get(family) {
                Some(at) if sent > at => Err(format!("family {family} was refreshed after its revoke")),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
