//! A node that lacks on its disk what it had acknowledged to a leader is let in no more by that leader.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct SetBack;

impl Invariant for SetBack {
    fn name(&self) -> &'static str {
        "set-back"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::CameBack { node, kept, acknowledged, by, refused: false } if acknowledged > kept => {
                Err(format!(
                    "node {node} came back with what it held at {kept}, and leader {by}, to which it had \
                     acknowledged {acknowledged}, lets it in"
                ))
            }
            _ => Ok(()),
        }
    }
}
