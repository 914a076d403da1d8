//! A restarted node serves nothing before it has proved freshness: it neither vouches for a token nor refuses one, signs none
//! by itself, and lists none. What the log has decided since it asked it may sign: that the node has applied it says enough.

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
            Event::Verified { node, id, accepted, proved: false, .. } => {
                let did = if *accepted { "accepted" } else { "refused" };
                Err(format!("node {node} {did} token {id} before it had proved freshness"))
            }
            Event::Signed { node, kid, plain: true, proved: false, .. } => {
                Err(format!("node {node} signed a plain token with key {kid} before it had proved freshness"))
            }
            Event::Listed { node, proved: false } => {
                Err(format!("node {node} read a list before it had proved freshness"))
            }
            _ => Ok(()),
        }
    }
}
