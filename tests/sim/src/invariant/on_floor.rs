//! A cluster that begins anew on floors refuses whatever the one before had acknowledged to refuse: tokens that were revoked by
//! id, with their family or their origin, by watermarks of all kinds, for their key, or since their user was deleted. No bound and no
//! exception: what is on a floor is known from the first moment on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use circlet_token::TokenId;

use super::Invariant;
use crate::history::Event;
use crate::mark::{Facts, Mark};

#[derive(Debug, Default)]
struct Ended {
    revoked: BTreeSet<TokenId>,
    /// For each subject, below which index tokens are refused.
    subjects: BTreeMap<u64, u64>,
    marks: Vec<Arc<Mark>>,
}

#[derive(Debug, Default)]
pub(super) struct OnFloor {
    /// What the present cluster acknowledged, on top of what those before had.
    since: Ended,
    /// What had been acknowledged when it began on floors, and where.
    begun: Option<(u64, Ended)>,
    known: BTreeMap<TokenId, Arc<Facts>>,
}

impl Ended {
    fn learn(&mut self, event: &Event) {
        match event {
            Event::Revoked { id: Some(id), index, .. } if *index != u64::MAX => {
                self.revoked.insert(*id);
            }
            Event::Watermark { subject, index } => {
                let below = self.subjects.entry(*subject).or_default();
                *below = (*below).max(*index);
            }
            Event::Marked(mark) => self.marks.push(Arc::clone(mark)),
            _ => {}
        }
    }

    /// Why a token must be refused.
    fn refuses(&self, id: TokenId, subject: u64, index: u64, facts: Option<&Facts>) -> Option<String> {
        if self.revoked.contains(&id) {
            return Some("it was revoked".to_owned());
        }
        if self.subjects.get(&subject).is_some_and(|below| index < *below) {
            return Some("all of its subject's had ended".to_owned());
        }
        let facts = facts?;
        let mark = self.marks.iter().find(|mark| mark.ends(facts))?;
        Some(format!("{:?} had ended", mark.target))
    }
}

impl Invariant for OnFloor {
    fn name(&self) -> &'static str {
        "on-floor"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        self.since.learn(event);
        match event {
            Event::Begun { index, on_floor, .. } => {
                let ended = std::mem::take(&mut self.since);
                self.begun = on_floor.then_some((*index, ended));
            }
            Event::Known { id, facts } => {
                self.known.entry(*id).or_insert_with(|| Arc::clone(facts));
            }
            Event::Verified { node, id, subject, index, accepted: true, revocable, .. } => {
                let Some((begun, ended)) = self.begun.as_ref().filter(|(begun, _)| index < begun) else {
                    return Ok(());
                };
                let facts = self.known.get(id).map(|facts| &**facts);
                // Only by what it is, a token that can't be revoked is not.
                let revoked = *revocable || !ended.revoked.contains(id);
                if let Some(why) = ended.refuses(*id, *subject, *index, facts).filter(|_| revoked) {
                    return Err(format!(
                        "node {node} accepted token {id} of {index}, though {why} before the cluster began on a floor at {begun}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
