//! An acknowledged write is never lost: whoever answers holds it, and a view that was proved fresh later holds it.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// When each write was acknowledged and its index, both rising.
    greatest: Vec<(u64, u64)>,
}

impl Acknowledged {
    /// The greatest index that was acknowledged before `sent`.
    fn before(&self, sent: u64) -> u64 {
        let later = self.greatest.partition_point(|(at, _)| *at < sent);
        later.checked_sub(1).and_then(|last| self.greatest.get(last)).map_or(0, |(_, index)| *index)
    }
}

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Acknowledged { node, index, holds, sent } => {
                if holds < index {
                    return Err(format!("node {node} answered a write at {index} and holds {holds} itself"));
                }
                let before = self.before(*sent);
                if *index <= before {
                    return Err(format!(
                        "a write that was sent after {before} was acknowledged went to {index}"
                    ));
                }
                if self.greatest.last().is_none_or(|(_, greatest)| greatest < index) {
                    self.greatest.push((now, *index));
                }
                Ok(())
            }
            Event::Fresh { node, index, sent } => {
                let before = self.before(*sent);
                if *index >= before {
                    return Ok(());
                }
                Err(format!("node {node} proved a view at {index} fresh after {before} was acknowledged"))
            }
            _ => Ok(()),
        }
    }
}
