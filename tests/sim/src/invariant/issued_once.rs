//! A token id is issued once: whoever is given it is given the same token.

use std::collections::BTreeMap;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct IssuedOnce {
    sums: BTreeMap<TokenId, u64>,
}

impl Invariant for IssuedOnce {
    fn name(&self) -> &'static str {
        "issued-once"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let (id, sum) = match event {
            Event::Issued { id, sum, .. } => (id, sum),
            Event::Refreshed { successor, sum, .. } => (successor, sum),
            _ => return Ok(()),
        };
        let first = self.sums.entry(*id).or_insert(*sum);
        if first == sum { Ok(()) } else { Err(format!("token {id} was handed out with other claims")) }
    }
}
