//! A cluster that begins anew on complete floors accepts the access tokens that were good when the one before was lost.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct LivesOn;

impl Invariant for LivesOn {
    fn name(&self) -> &'static str {
        "lives-on"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::LivedOn { node, id, accepted: false } => {
                Err(format!("node {node} refused token {id}, which was good when the cluster was lost"))
            }
            _ => Ok(()),
        }
    }
}
