//! No token is accepted that was signed by a key which the cluster had neither published nor taken into its circle.

use std::collections::BTreeSet;

use circlet_token::KeyId;

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct PublishedKeys {
    known: BTreeSet<KeyId>,
}

impl Invariant for PublishedKeys {
    fn name(&self) -> &'static str {
        "published-keys"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            // What the cluster of before had published, this one hasn't, unless its state says so.
            Event::Begun { .. } => {
                self.known.clear();
                Ok(())
            }
            Event::Key { kid, .. } => {
                self.known.insert(kid.clone());
                Ok(())
            }
            Event::Vouched { node, kid, .. } if !self.known.contains(kid) => {
                Err(format!("node {node} accepted a token of key {kid}, which nobody had published"))
            }
            _ => Ok(()),
        }
    }
}
