//! A revoked token commits nothing: what it asks for is refused at every index after its revoke. That holds for what was
//! acknowledged, and for every state: none applies what is asked with a token that it refuses itself, be it by a
//! watermark, for its key, or for its user; nor what a user asks for with a password who is disabled or gone. Nor does a node sign
//! such a thing by a view of its own.

use std::collections::BTreeMap;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct RevokedActor {
    revoked: BTreeMap<TokenId, u64>,
    used: BTreeMap<TokenId, u64>,
}

impl Invariant for RevokedActor {
    fn name(&self) -> &'static str {
        "revoked-actor"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let actor = match event {
            Event::Revoked { id: Some(id), index, .. } => {
                let first = self.revoked.entry(*id).or_insert(*index);
                *first = (*first).min(*index);
                id
            }
            Event::Issued { by: Some(by), index, .. } => {
                let last = self.used.entry(*by).or_insert(*index);
                *last = (*last).max(*index);
                by
            }
            Event::Overruled { node, index, what } => {
                return Err(format!("node {node} did {what} at {index} for somebody whom it refuses"));
            }
            _ => return Ok(()),
        };
        match (self.used.get(actor), self.revoked.get(actor)) {
            (Some(used), Some(revoked)) if used > revoked => {
                Err(format!("token {actor} was revoked at {revoked} and issued another at {used}"))
            }
            _ => Ok(()),
        }
    }
}
