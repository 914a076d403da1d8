//! Token keys travel in the feed, and only there: a cluster takes over a key of its neighbours' after they have published it,
//! never one that they haven't. Of what they tell nothing is refused. Once a node has taken a key over, no token is unknown
//! there for its key. And no key signs before the members have it, as long as it waits for them.

use std::collections::{BTreeMap, BTreeSet};

use circlet_token::KeyId;

use super::Invariant;
use crate::circle::keys_of_thief;
use crate::history::{Event, Standing};

#[derive(Debug, Default)]
pub(super) struct ToldKeys {
    /// What the neighbours have had in their keyrings.
    published: BTreeSet<KeyId>,
    /// What their feeds have told here.
    told: BTreeSet<KeyId>,
    /// From which index on a key is trusted, or isn't: the same on every node, also on one that was given a snapshot.
    standings: BTreeMap<KeyId, BTreeMap<u64, bool>>,
}

impl ToldKeys {
    /// Whether a view has a key.
    fn has(&self, kid: &KeyId, view: u64) -> bool {
        let standings = self.standings.get(kid);
        standings.and_then(|known| known.range(..=view).next_back()).is_some_and(|(_, trusted)| *trusted)
    }
}

impl Invariant for ToldKeys {
    fn name(&self) -> &'static str {
        "told-keys"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            // Which keys it knows again is told when it begins.
            Event::Begun { .. } => self.standings.clear(),
            Event::KeyAbroad { kid } => {
                self.published.insert(kid.clone());
            }
            // What a thief of the circle key may tell is said by `stolen-key`.
            Event::KeyStolen { issuer } => {
                self.published.insert(keys_of_thief(issuer).0.kid);
            }
            Event::Told { node, index, kid, refused } => {
                if !self.published.contains(kid) {
                    return Err(format!(
                        "node {node} was told key {kid} at {index}, which no neighbour has published"
                    ));
                }
                if *refused {
                    return Err(format!("node {node} refused key {kid} at {index}, which its issuer told"));
                }
                self.told.insert(kid.clone());
            }
            Event::Key { index, kid, standing, .. } => {
                let trusted = match standing {
                    Standing::Trusted => true,
                    Standing::Distrusted => false,
                    _ => return Ok(()),
                };
                self.standings.entry(kid.clone()).or_default().insert(*index, trusted);
            }
            Event::VerifiedAbroad { node, kid, view, unknown: true, .. } if self.has(kid, *view) => {
                return Err(format!("node {node} at {view} didn't know key {kid}, which it had been told"));
            }
            Event::ActivatedAbroad { kid, waited_ms, patience_ms }
                if waited_ms < patience_ms && !self.told.contains(kid) =>
            {
                return Err(format!(
                    "the neighbours sign with key {kid}, of which nobody here was told; it waited {waited_ms} ms of \
                     {patience_ms} ms"
                ));
            }
            _ => {}
        }
        Ok(())
    }
}
