//! What a neighbour had issued before it began anew without floors is good nowhere in the circle: what can be revoked from
//! the bound on, since nobody can say any more what was revoked of it, and anything once a view holds the new feed, by
//! whichever key it is signed. Where it began on floors its tokens live on; `revoked-abroad` says which don't.

use std::collections::BTreeMap;

use circlet_token::ServiceId;

use super::Invariant;
use super::thefts::Thefts;
use crate::history::Event;

/// Clocks show whole milliseconds: the leader's and the asking node's, when each reads them.
const ROUNDING: u64 = 4_000_000;

/// A new beginning of a neighbour.
#[derive(Debug)]
struct Begun {
    /// Its tokens with a lower index are of before.
    index: u64,
    generation: u64,
    at: u64,
}

#[derive(Debug, Default)]
pub(super) struct BegunAbroad {
    /// `circle.max-staleness` and 200 ppm of drift, in nanoseconds.
    bound: u64,
    begun: BTreeMap<ServiceId, Begun>,
    /// By issuer: from which index on which generation of its feed is known.
    follows: BTreeMap<ServiceId, BTreeMap<u64, u64>>,
    thefts: Thefts,
}

impl BegunAbroad {
    fn generation_in(&self, issuer: &ServiceId, view: u64) -> u64 {
        let known = self.follows.get(issuer).and_then(|known| known.range(..=view).next_back());
        known.map_or(0, |(_, generation)| *generation)
    }
}

impl Invariant for BegunAbroad {
    fn name(&self) -> &'static str {
        "begun-abroad"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        self.thefts.learn(now, event);
        match event {
            Event::CircleBound { ms } => self.bound = ms * 1_000_000 + ms * 200 + ROUNDING,
            Event::BegunAbroad { issuer, index, generation, on_floor: false } => {
                let begun = Begun { index: *index, generation: *generation, at: now };
                self.begun.insert(issuer.clone(), begun);
            }
            Event::Follows { index, issuer, generation, .. } => {
                self.follows.entry(issuer.clone()).or_default().insert(*index, *generation);
            }
            Event::VerifiedAbroad {
                node, id, issuer, facts, revocable, view, sent, accepted: true, ..
            } => {
                let Some(begun) = self.begun.get(issuer).filter(|begun| facts.index() < begun.index) else {
                    return Ok(());
                };
                if self.thefts.excuse(issuer, *sent, self.bound) {
                    return Ok(());
                }
                let of = format!("token {id} of {issuer} at {}, from before {}", facts.index(), begun.index);
                if self.generation_in(issuer, *view) >= begun.generation {
                    return Err(format!("node {node} at {view} accepted {of}, whose feed it knows anew"));
                }
                if *revocable && *sent > begun.at + self.bound {
                    let late_ms = (sent - begun.at) / 1_000_000;
                    return Err(format!("node {node} accepted {of}, asked {late_ms} ms after that"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
