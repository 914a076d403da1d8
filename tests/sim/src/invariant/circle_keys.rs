//! A circle key is believed only once its cluster has it: the next one comes by the word of the one before, and by nothing
//! else. Whoever signs with anything else is believed nothing.

use std::collections::BTreeSet;

use circlet_token::feed::CirclePublicKey;

use super::Invariant;
use crate::circle::keys_of_thief;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct CircleKeys {
    theirs: BTreeSet<CirclePublicKey>,
}

impl Invariant for CircleKeys {
    fn name(&self) -> &'static str {
        "circle-keys"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::CircleKeyAbroad { key } => {
                self.theirs.insert(*key);
                Ok(())
            }
            // What a thief of the circle key may name is said by `stolen-key`.
            Event::KeyStolen { issuer } => {
                self.theirs.extend(keys_of_thief(issuer).1);
                Ok(())
            }
            Event::CircleKey { node, index, key } if !self.theirs.contains(key) => Err(format!(
                "node {node} believes circle key {key:?} since {index}, which no neighbour has had"
            )),
            _ => Ok(()),
        }
    }
}
