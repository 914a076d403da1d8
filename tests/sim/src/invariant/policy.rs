//! Who is no administrator never gets more than the policy allows, whatever fails meanwhile.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct Policy;

impl Invariant for Policy {
    fn name(&self) -> &'static str {
        "policy"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Overreached { what, done: true, index } => {
                Err(format!("a user who is no administrator did this at {index}: {what}"))
            }
            _ => Ok(()),
        }
    }
}
