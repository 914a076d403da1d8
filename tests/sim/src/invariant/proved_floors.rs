//! A cluster begins anew on floors exactly if they hold everything: never if the floor of one of its nodes is gone, damaged, a
//! copy or can't be reached, nor twice on the same ones; and always if nothing of that is so.

use super::Invariant;
use crate::history::Event;

#[derive(Debug, Default)]
pub(super) struct ProvedFloors;

impl Invariant for ProvedFloors {
    fn name(&self) -> &'static str {
        "proved-floors"
    }

    fn see(&mut self, _: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::FloorsAsked { spoilt: Some(spoilt), proved: true } => {
                Err(format!("floors were taken for complete, though {spoilt}"))
            }
            Event::FloorsAsked { spoilt: None, proved: false } => {
                Err("floors were not taken for complete, though nothing is wrong with them".to_owned())
            }
            _ => Ok(()),
        }
    }
}
