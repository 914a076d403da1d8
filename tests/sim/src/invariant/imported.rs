//! Of an older installation's tokens those are good that can be revoked only if they were on a list that somebody asked to
//! have imported; and an import changes nothing of what is there, and brings back nothing that was revoked.

use std::collections::BTreeSet;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct Imported {
    asked: BTreeSet<TokenId>,
}

impl Invariant for Imported {
    fn name(&self) -> &'static str {
        "imported"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::ImportAsked { id } => {
                self.asked.insert(*id);
            }
            Event::ImportShown { node, id, accepted: true } if !self.asked.contains(id) => {
                return Err(format!("node {node} accepted token {id}, which is on no list"));
            }
            Event::ImportedWrong { node, index, id, what } => {
                return Err(format!("after an import at {index} token {id} on node {node} {what}"));
            }
            _ => {}
        }
        Ok(())
    }
}
