//! A leader whose disk is what holds up the cluster, and nothing else is wrong, lets another one lead.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct BadDisk;

impl Invariant for BadDisk {
    fn name(&self) -> &'static str {
        "bad-disk"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::LedOn { node, disk, for_ms } => Err(format!(
                "node {node} leads on with a disk that is {disk}, after {for_ms} ms in which nothing else was wrong"
            )),
            _ => Ok(()),
        }
    }
}
