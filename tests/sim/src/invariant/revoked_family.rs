//! After a revoke is acknowledged, no refresh of what it ended succeeds and none is repeated: be it a revoke of the family,
//! or a watermark on the token that the family had come to. Nor is one decided behind that in the log, whoever hears of it.

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
    /// The lowest index of a revoke that was acknowledged, and the highest of a refresh that was decided.
    decided: BTreeMap<FamilyId, (u64, u64)>,
    /// Watermarks of all kinds that were applied, by index.
    held: BTreeMap<u64, Arc<Mark>>,
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

    /// What is known of a family's revoke and its refreshes has grown.
    fn learn(&mut self, family: FamilyId, revoked: u64, refreshed: u64) -> Result<(), String> {
        let decided = self.decided.entry(family).or_insert((revoked, refreshed));
        *decided = (decided.0.min(revoked), decided.1.max(refreshed));
        match *decided {
            (revoked, refreshed) if refreshed > revoked => {
                Err(format!("family {family} was revoked at {revoked} and refreshed at {refreshed}"))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for RevokedFamily {
    fn name(&self) -> &'static str {
        "revoked-family"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Revoked { family: Some(family), index, .. } => {
                self.revoked.entry(*family).or_insert(now);
                return self.learn(*family, *index, 0);
            }
            // A family of before has ended where another cluster begins.
            Event::Begun { .. } => self.held.clear(),
            Event::MarkHeld(mark) => {
                self.held.entry(mark.index).or_insert_with(|| Arc::clone(mark));
            }
            Event::RefreshDecided { node, family, index, from, .. } => {
                if let Some((at, _)) = self.held.range(..index).find(|(_, mark)| mark.ends(from)) {
                    return Err(format!(
                        "node {node} applied at {index} that family {family} was refreshed, after a watermark at {at} on {from:?}"
                    ));
                }
                return self.learn(*family, u64::MAX, *index);
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
