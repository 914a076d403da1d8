//! A refresh token yields at most one live family: every use of it that was decided gave the same successor, unless the key
//! that signed the successor leaked; then a repeat gives another one in its place.

use std::collections::{BTreeMap, BTreeSet};

use circlet_authority::FamilyId;
use circlet_token::{KeyId, TokenId};

use super::Invariant;
use crate::history::{Event, Standing};

#[derive(Debug, Default)]
pub(super) struct OneSuccessor {
    /// By family, number of the refresh token, and the index from which on it gives this successor.
    successors: BTreeMap<(FamilyId, u32, u64), Option<TokenId>>,
    leaked: BTreeSet<KeyId>,
}

impl Invariant for OneSuccessor {
    fn name(&self) -> &'static str {
        "one-successor"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Key { kid, standing: Standing::Tainted, .. } => {
                self.leaked.insert(kid.clone());
            }
            Event::Replaced { family, sequence, kid, index } if self.leaked.contains(kid) => {
                // Each node applies it.
                self.successors.entry((*family, *sequence, *index)).or_insert(None);
            }
            Event::Refreshed { family, sequence, successor, index, .. }
            | Event::RefreshDecided { family, sequence, successor, index, .. } => {
                self.successors.entry((*family, *sequence, 0)).or_insert(None);
                let valid = (*family, *sequence, 0)..=(*family, *sequence, *index);
                let first = self.successors.range_mut(valid).next_back().map(|(_, first)| first);
                let first = first.map_or(*successor, |first| *first.get_or_insert(*successor));
                if first != *successor {
                    return Err(format!(
                        "refresh token {sequence} of family {family} gave {first} and {successor}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
