//! A cluster that begins anew, from a backup or from what one node holds, accepts nothing that was issued before, and so
//! nothing that was revoked before: no token of its own or of others, no refresh token, no key. Where it begins on floors, its
//! own access tokens may live on, and nothing else; what they may not is said by the invariant `on-floor`.

use std::collections::BTreeSet;

use circlet_authority::FamilyId;
use circlet_token::{KeyId, TokenId};

use super::Invariant;
use crate::history::Event;
use crate::linear::{Object, Operation};

/// What was there at some time.
#[derive(Debug, Default)]
struct Seen {
    tokens: BTreeSet<TokenId>,
    foreign: BTreeSet<TokenId>,
    families: BTreeSet<FamilyId>,
    keys: BTreeSet<KeyId>,
}

#[derive(Debug, Default)]
pub(super) struct Restored {
    /// Before the present cluster began.
    before: Seen,
    /// Since.
    since: Seen,
    /// Tokens with a lower index are of a cluster that nothing lives on of.
    own_since: u64,
    /// Nor does anything live on that others issued up to this second.
    others_since: u64,
}

impl Invariant for Restored {
    fn name(&self) -> &'static str {
        "restored"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Begun { index, second, on_floor } => {
                self.others_since = *second;
                if !on_floor {
                    self.own_since = *index;
                    self.before.tokens.append(&mut self.since.tokens);
                }
                self.before.foreign.append(&mut self.since.foreign);
                self.before.families.append(&mut self.since.families);
                self.before.keys.append(&mut self.since.keys);
            }
            Event::Operation(Operation { object: Object::Family(family), .. }) => {
                self.since.families.insert(*family);
            }
            Event::Verified { node, id, index, accepted: true, .. } if *index < self.own_since => {
                return Err(format!(
                    "node {node} accepted token {id} of {index}, from before {}",
                    self.own_since
                ));
            }
            Event::Shown { node, id, own: true, accepted } => {
                if *accepted && self.before.tokens.contains(id) {
                    return Err(format!("node {node} accepted token {id}, from before"));
                }
                self.since.tokens.insert(*id);
            }
            Event::Shown { node, id, own: false, accepted } => {
                if *accepted && self.before.foreign.contains(id) {
                    return Err(format!("node {node} accepted token {id} of another cluster, from before"));
                }
                self.since.foreign.insert(*id);
            }
            Event::VerifiedAbroad { node, id, issuer, facts, accepted: true, .. }
                if facts.issued_at() <= self.others_since =>
            {
                return Err(format!("node {node} accepted token {id} of {issuer}, from before"));
            }
            Event::Issued { id, by, .. } => {
                if let Some(by) = by.filter(|by| self.before.tokens.contains(by)) {
                    return Err(format!("token {by}, which is from before, was given token {id}"));
                }
                self.since.tokens.insert(*id);
            }
            Event::Refreshed { family, .. } if self.before.families.contains(family) => {
                return Err(format!("family {family}, which is from before, was refreshed"));
            }
            Event::Signed { node, kid, .. } => {
                if self.before.keys.contains(kid) {
                    return Err(format!("node {node} signed with key {kid}, which is from before"));
                }
                self.since.keys.insert(kid.clone());
            }
            _ => {}
        }
        Ok(())
    }
}
