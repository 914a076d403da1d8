//! A view that knows that a token has ended refuses it, whether that can be revoked or not: by each watermark that it has
//! applied, while it has the token's user as disabled, and by id or family what can be revoked. No bound and no clock: what
//! holds of a token that needs no fresh view holds from the first view on that has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;
use crate::mark::{Facts, Mark};

#[derive(Debug, Default)]
pub(super) struct KnownEnd {
    /// By the index that set each.
    marks: BTreeMap<u64, Arc<Mark>>,
    /// Whether each subject's user may be spoken for, by the index that said so.
    users: BTreeMap<u64, BTreeMap<u64, bool>>,
    /// By which index it was acknowledged that each had ended.
    revoked: BTreeMap<TokenId, u64>,
    known: BTreeMap<TokenId, Arc<Facts>>,
}

impl KnownEnd {
    /// A user was written. What is told of an index again, by another node, is what was told before.
    fn put(&mut self, subject: u64, index: u64, enabled: Option<bool>) {
        let user = self.users.entry(subject).or_default();
        let before = user.range(..index).next_back().is_none_or(|(_, enabled)| *enabled);
        user.entry(index).or_insert(enabled.unwrap_or(before));
    }

    fn is_disabled(&self, subject: u64, view: u64) -> bool {
        let known = self.users.get(&subject).and_then(|user| user.range(..=view).next_back());
        known.is_some_and(|(_, enabled)| !enabled)
    }

    /// Why a view at this index must refuse a token.
    fn refuses(&self, id: &TokenId, subject: u64, revocable: bool, view: u64) -> Option<String> {
        if self.is_disabled(subject, view) {
            return Some("its user was disabled".to_owned());
        }
        if let Some(at) = self.revoked.get(id).filter(|at| revocable && **at <= view) {
            return Some(format!("it was revoked at {at}"));
        }
        let facts = self.known.get(id)?;
        let mark = self.marks.range(..=view).map(|(_, mark)| mark).find(|mark| mark.ends(facts))?;
        Some(format!("{:?} had ended at {}", mark.target, mark.index))
    }
}

impl Invariant for KnownEnd {
    fn name(&self) -> &'static str {
        "known-end"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            // What a new cluster knows of the one before is said by the invariants `on-floor` and `restored`.
            Event::Begun { .. } => {
                self.marks.clear();
                self.users.clear();
                self.revoked.clear();
            }
            Event::MarkHeld(mark) => {
                self.marks.entry(mark.index).or_insert_with(|| Arc::clone(mark));
            }
            Event::UserPut { subject, index, enabled } => self.put(*subject, *index, *enabled),
            Event::Revoked { id: Some(id), index, .. } => {
                let first = self.revoked.entry(*id).or_insert(*index);
                *first = (*first).min(*index);
            }
            Event::Known { id, facts } => {
                self.known.entry(*id).or_insert_with(|| Arc::clone(facts));
            }
            Event::Verified { node, id, subject, view, accepted: true, revocable, .. } => {
                if let Some(why) = self.refuses(id, *subject, *revocable, *view) {
                    return Err(format!("node {node} accepted token {id} by its view at {view}: {why}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
