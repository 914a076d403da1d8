//! Tokens of a neighbour may do here no more than an administrator was told that they may, by whichever of its keys they
//! are signed: a key that its feed told meanwhile included. Nor is a token revoked because a neighbour asks that may not.

use std::collections::BTreeMap;

use circlet_authority::IssuerLimits;
use circlet_token::ServiceId;

use super::Invariant;
use crate::clock::START_MS;
use crate::history::{Event, Grant};

/// So far may a node's clock be behind, and a second is not whole.
const CLOCK_SECS: u64 = 3;

/// One change of the limits.
#[derive(Debug)]
struct Change {
    limits: IssuerLimits,
    /// As of which index it was said to be done.
    done: Option<u64>,
    /// It was asked of a cluster that has begun anew since: what was in force then may be so again.
    of_before: bool,
}

#[derive(Debug, Default)]
pub(super) struct Limits {
    /// By issuer, in the order in which they began.
    changes: BTreeMap<ServiceId, BTreeMap<u64, Change>>,
}

impl Limits {
    /// What may be in force in a view: the last change that was done by then, those that began later, and those of which
    /// nobody knows what became of them. Changes of one issuer come one after the other.
    fn in_force(&self, issuer: &ServiceId, view: u64) -> Vec<&IssuerLimits> {
        let Some(changes) = self.changes.get(issuer) else { return Vec::new() };
        let done = |change: &Change| change.done.is_some_and(|index| index <= view);
        let last = changes.iter().rev().find(|(_, change)| done(change)).map_or(0, |(number, _)| *number);
        let maybe = |change: &Change| change.done.is_none() && !change.of_before;
        let counts = changes.iter().filter(|(number, change)| **number >= last || maybe(change));
        counts.map(|(_, change)| &change.limits).collect()
    }
}

impl Invariant for Limits {
    fn name(&self) -> &'static str {
        "limits"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Limiting { change, issuer, limits } => {
                let begun = Change { limits: limits.clone(), done: None, of_before: false };
                self.changes.entry(issuer.clone()).or_default().insert(*change, begun);
            }
            Event::Begun { .. } => {
                for change in self.changes.values_mut().flat_map(BTreeMap::values_mut) {
                    (change.done, change.of_before) = (None, true);
                }
            }
            Event::Limited { change, index } => {
                let all = self.changes.values_mut();
                for known in all.filter_map(|changes| changes.get_mut(change)) {
                    known.done = Some(*index);
                }
            }
            Event::RevokedFor { node, index, issuer } => {
                let limits = self.in_force(issuer, index.saturating_sub(1));
                if !limits.iter().any(|limits| limits.revoke) {
                    return Err(format!(
                        "node {node} revoked for {issuer} at {index}, which may not ask for it"
                    ));
                }
            }
            Event::Granted { node, view, sent, grant } => {
                let limits = self.in_force(&grant.issuer, *view);
                if !limits.iter().any(|limits| allow(limits, grant, *sent)) {
                    return Err(format!("node {node} at {view} grants {grant:?}, beyond {limits:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether limits allow what was granted to whoever asked at `sent`, in nanoseconds.
fn allow(limits: &IssuerLimits, grant: &Grant, sent: u64) -> bool {
    let now = (START_MS + sent / 1_000_000) / 1_000;
    let lives = limits.max_lifetime.and_then(circlet_token::Lifetime::secs).is_none_or(|most| {
        let left = grant.expires_at.map(|at| at.saturating_sub(now));
        grant.lifetime.is_some_and(|life| life <= most)
            && left.is_some_and(|left| left <= most.saturating_add(CLOCK_SECS))
    });
    let addresses = limits.audiences.as_ref().is_none_or(|allowed| {
        grant.audience.split(' ').all(|entry| entry.is_empty() || allowed.contains(entry))
    });
    let of_ours = |ours: &String| {
        let mut claims = grant.claimed.iter();
        match &limits.groups {
            Some(map) => claims.any(|theirs| map.get(theirs) == Some(ours)),
            None => claims.any(|theirs| theirs == ours),
        }
    };
    lives && addresses && grant.groups.iter().all(of_ours) && (limits.admin || !grant.admin)
}
