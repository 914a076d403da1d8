//! A cluster begins anew on floors exactly if they hold everything: never if the floor of one of its nodes is gone, damaged, a
//! copy or can't be reached, nor twice on the same ones, nor after it was acknowledged that none is required any more; and always
//! if nothing of that is so.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct ProvedFloors {
    /// Since which index floors are required, or aren't, as far as a node has applied it.
    switched: Option<(u64, bool)>,
    /// Up to which index something was acknowledged.
    acknowledged: u64,
}

impl ProvedFloors {
    /// Whether the last of the floors says that it was required. While nobody was told of the last change, it may say either.
    fn required(&self) -> Option<bool> {
        let Some((index, required)) = self.switched else { return Some(true) };
        (self.acknowledged >= index).then_some(required)
    }
}

impl Invariant for ProvedFloors {
    fn name(&self) -> &'static str {
        "proved-floors"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::FloorRequired { index, required, .. }
                if self.switched.is_none_or(|(last, _)| last < *index) =>
            {
                self.switched = Some((*index, *required));
            }
            // Nobody answers before the node's own floor holds what was decided, nor that none is required.
            Event::Acknowledged { index, .. } => self.acknowledged = self.acknowledged.max(*index),
            Event::FloorsAsked { spoilt: Some(spoilt), proved: true } => {
                return Err(format!("floors were taken for complete, though {spoilt}"));
            }
            Event::FloorsAsked { spoilt: None, proved } => match (self.required(), proved) {
                (Some(true), false) => {
                    return Err(
                        "floors were not taken for complete, though nothing is wrong with them".to_owned()
                    );
                }
                (Some(false), true) => {
                    return Err(
                        "floors were taken for complete, though none was required any more".to_owned()
                    );
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}
