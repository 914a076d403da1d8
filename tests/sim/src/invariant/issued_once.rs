//! A token id is issued once: whoever is given it is given the same token. So is who asks again under the same key.

use std::collections::BTreeMap;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

/// A key is kept for half a minute at least (`workload/settings.rs`); seconds are cut off.
const KEPT_SECS: u64 = 29;

#[derive(Debug, Default)]
pub(super) struct IssuedOnce {
    sums: BTreeMap<TokenId, u64>,
    /// What was given to whoever asked under a key, and when it was issued.
    requests: BTreeMap<u64, (TokenId, u64)>,
}

impl Invariant for IssuedOnce {
    fn name(&self) -> &'static str {
        "issued-once"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let (id, sum) = match event {
            Event::Issued { id, sum, .. } => (id, sum),
            Event::Refreshed { successor, sum, .. } => (successor, sum),
            Event::IssuedFor { request, id, at } => {
                let (first, since) = *self.requests.entry(*request).or_insert((*id, *at));
                if first == *id {
                    return Ok(());
                }
                self.requests.insert(*request, (*id, *at));
                let said = format!("who asked at {since}, and again at {at}, was given {first} and {id}");
                return if *at > since.saturating_add(KEPT_SECS) { Ok(()) } else { Err(said) };
            }
            // A cluster that begins anew knows nothing of the keys that requests came under.
            Event::Begun { .. } => {
                self.requests.clear();
                return Ok(());
            }
            _ => return Ok(()),
        };
        let first = self.sums.entry(*id).or_insert(*sum);
        if first == sum { Ok(()) } else { Err(format!("token {id} was handed out with other claims")) }
    }
}
