//! Since when what a neighbour's feed says can be believed again, after its circle key was stolen.

use std::collections::BTreeMap;

use circlet_token::ServiceId;

use crate::history::Event;

/// By issuer: when it was mended; nothing before.
#[derive(Debug, Default)]
pub(super) struct Thefts(BTreeMap<ServiceId, Option<u64>>);

impl Thefts {
    pub(super) fn learn(&mut self, now: u64, event: &Event) {
        match event {
            Event::KeyStolen { issuer } => {
                self.0.insert(issuer.clone(), None);
            }
            Event::KeyMended { issuer, .. } => {
                self.0.insert(issuer.clone(), Some(now));
            }
            _ => {}
        }
    }

    /// Whether a node may believe a thief about this issuer, asked at `sent`: what he said counts for so long.
    pub(super) fn excuse(&self, issuer: &ServiceId, sent: u64, counts_for: u64) -> bool {
        let stolen = self.0.get(issuer);
        stolen.is_some_and(|mended| mended.is_none_or(|mended| sent <= mended + counts_for))
    }
}
