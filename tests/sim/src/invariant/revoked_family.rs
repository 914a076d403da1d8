//! After a revoke is acknowledged, no refresh of what it ended succeeds and none is repeated: be it a revoke of the family,
//! or a watermark on the token that the family had come to.

use std::collections::BTreeMap;
use std::sync::Arc;

use circlet_authority::FamilyId;

use super::Invariant;
use crate::history::Event;
use crate::mark::{Facts, Mark};

#[derive(Debug, Default)]
pub(super) struct RevokedFamily {
    /// When the first revoke was acknowledged.
    revoked: BTreeMap<FamilyId, u64>,
    /// For each subject, watermarks: when acknowledged, and below which index they refuse.
    subjects: BTreeMap<u64, Vec<(u64, u64)>>,
    /// Watermarks of other kinds, and when each was acknowledged.
    others: Vec<(u64, Arc<Mark>)>,
}

impl RevokedFamily {
    /// Whether a watermark on such a token had been acknowledged before `sent`.
    fn is_marked(&self, token: &Facts, sent: u64) -> bool {
        let mut subject = self.subjects.get(&token.subject_number()).into_iter().flatten();
        subject.any(|(at, below)| *at < sent && token.index() < *below)
            || self.others.iter().any(|(at, mark)| *at < sent && mark.ends(token))
    }
}

impl Invariant for RevokedFamily {
    fn name(&self) -> &'static str {
        "revoked-family"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Revoked { family: Some(family), .. } => {
                self.revoked.entry(*family).or_insert(now);
            }
            Event::Watermark { subject, index } => {
                self.subjects.entry(*subject).or_default().push((now, *index));
            }
            Event::Marked(mark) if !mark.is_of_leak() => self.others.push((now, Arc::clone(mark))),
            Event::Refreshed { family, sent, from, .. } => {
                if self.revoked.get(family).is_some_and(|at| sent > at) {
                    return Err(format!("family {family} was refreshed after its revoke"));
                }
                if self.is_marked(from, *sent) {
                    return Err(format!("family {family} was refreshed after a watermark on {from:?}"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
