//! A refresh token yields at most one live family: every acknowledged use of it gave the same successor.

use std::collections::BTreeMap;

use circlet_authority::FamilyId;
use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct OneSuccessor {
    successors: BTreeMap<(FamilyId, u32), TokenId>,
}

impl Invariant for OneSuccessor {
    fn name(&self) -> &'static str {
        "one-successor"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let Event::Refreshed { family, sequence, successor, .. } = event else { return Ok(()) };
        let first = self.successors.entry((*family, *sequence)).or_insert(*successor);
        if first == successor {
            return Ok(());
        }
        Err(format!("refresh token {sequence} of family {family} gave {first} and {successor}"))
    }
}
