//! A node that is cut off for longer than its bounds neither signs what the log doesn't know nor accepts anything. That
//! it was cut off is seen by what it didn't know: a write acknowledged longer ago than the bound, which its view lacks.
//! Where nobody can write any more it is seen by when the node last proved its view fresh, by its own boot clock, whatever
//! the node makes of that. What the log has decided it signs in any case, by a view that has that, and so all that had been
//! acknowledged when it was asked for.

use super::Invariant;
use crate::history::Event;
use crate::staleness::with_drift;

#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// Indexes of acknowledged writes and when each was acknowledged first, both rising.
    acknowledged: Vec<(u64, u64)>,
    /// For issuing and verifying, in nanoseconds.
    bounds: Option<(u64, u64)>,
}

impl Isolation {
    /// How long before `sent` something was acknowledged that a view at `view` lacks.
    fn behind(&self, view: u64, sent: u64) -> Option<u64> {
        let first = self.acknowledged.partition_point(|(index, _)| *index <= view);
        self.acknowledged.get(first).map(|(_, at)| sent.saturating_sub(*at))
    }
}

impl Invariant for Isolation {
    fn name(&self) -> &'static str {
        "isolation"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        let (bound, node, view, sent, age_ms, does) = match (event, self.bounds) {
            (Event::Bounds { issue_ms, verify_ms }, _) => {
                self.bounds = Some((with_drift(*issue_ms), with_drift(*verify_ms)));
                return Ok(());
            }
            (Event::Acknowledged { index, .. }, _) => {
                if self.acknowledged.last().is_none_or(|(last, _)| last < index) {
                    self.acknowledged.push((*index, now));
                }
                return Ok(());
            }
            (Event::Signed { node, plain: true, view, sent, age_ms, .. }, Some((issue, _))) => {
                (issue, node, view, sent, age_ms, "signed a plain token")
            }
            (Event::Vouched { node, view, sent, age_ms, .. }, Some((_, verify))) => {
                (verify, node, view, sent, age_ms, "accepted a token")
            }
            (Event::Signed { node, plain: false, view, sent, .. }, Some(_)) => {
                return match self.behind(*view, *sent) {
                    Some(behind @ 1..) => Err(format!(
                        "node {node} signed what was decided at {view}, asked {} ms after it could have known more",
                        behind / 1_000_000
                    )),
                    _ => Ok(()),
                };
            }
            _ => return Ok(()),
        };
        if let Some(age_ms) = age_ms.filter(|age_ms| age_ms * 1_000_000 > bound) {
            return Err(format!(
                "node {node} {does} at {view}, which it had proved fresh {age_ms} ms before"
            ));
        }
        match self.behind(*view, *sent) {
            Some(behind) if behind > bound => {
                let late_ms = behind / 1_000_000;
                Err(format!(
                    "node {node} {does} at {view}, asked {late_ms} ms after it could have known more"
                ))
            }
            _ => Ok(()),
        }
    }
}
