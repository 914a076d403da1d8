//! Whoever has stolen a neighbour's circle key is believed nothing any more once the neighbour has another one and was
//! dismissed and approved anew: neither a circle key that he names, nor a token key that he tells, nor what that has signed,
//! also if he was believed before.

use std::collections::BTreeMap;

use circlet_token::feed::CirclePublicKey;
use circlet_token::{KeyId, ServiceId};

use super::Invariant;
use crate::circle::keys_of_thief;
use crate::history::Event;

/// A thief, and what he calls his.
#[derive(Debug)]
struct Thief {
    token_key: KeyId,
    circle_key: Option<CirclePublicKey>,
    /// As of which index it is mended.
    mended: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct StolenKey {
    thieves: BTreeMap<ServiceId, Thief>,
}

impl Invariant for StolenKey {
    fn name(&self) -> &'static str {
        "stolen-key"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        let is_over = |thief: &Thief, index: u64| thief.mended.is_some_and(|mended| index >= mended);
        match event {
            Event::KeyStolen { issuer } => {
                let (pair, circle_key) = keys_of_thief(issuer);
                self.thieves.insert(issuer.clone(), Thief { token_key: pair.kid, circle_key, mended: None });
            }
            Event::KeyMended { issuer, index } => {
                if let Some(thief) = self.thieves.get_mut(issuer) {
                    thief.mended = Some(*index);
                }
            }
            // Who begins from a backup may believe him as that does, until it is mended there as well.
            Event::Begun { .. } => self.thieves.values_mut().for_each(|thief| thief.mended = None),
            Event::Told { node, index, kid, .. } => {
                let mut thieves = self.thieves.values().filter(|thief| thief.token_key == *kid);
                if thieves.any(|thief| is_over(thief, *index)) {
                    return Err(format!("node {node} was told key {kid} at {index} by a thief"));
                }
            }
            Event::CircleKey { node, index, key } => {
                let mut thieves = self.thieves.values().filter(|thief| thief.circle_key == Some(*key));
                if thieves.any(|thief| is_over(thief, *index)) {
                    return Err(format!("node {node} believes the circle key of a thief since {index}"));
                }
            }
            Event::ThiefShown { node, issuer, view, accepted: true }
                if self.thieves.get(issuer).is_none_or(|thief| is_over(thief, *view)) =>
            {
                return Err(format!("node {node} at {view} accepted what a thief signed for {issuer}"));
            }
            _ => {}
        }
        Ok(())
    }
}
