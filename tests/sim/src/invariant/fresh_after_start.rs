//! A restarted node vouches for nothing before it has proved freshness.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct FreshAfterStart;

impl Invariant for FreshAfterStart {
    fn name(&self) -> &'static str {
        "fresh-after-start"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Verified { node, id, accepted: true, proved: false, .. } => {
                Err(format!("node {node} accepted token {id} before it had proved freshness"))
            }
            _ => Ok(()),
        }
    }
}
