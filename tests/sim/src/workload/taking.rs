//! Requests for another token under the id of one that there is.

use circlet_authority::{Action, Outcome};
use circlet_token::Lifetime;
use sha2::{Digest, Sha256};

use super::{Reply, Workload, administrator};
use crate::clock::START_MS;
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::machine::first_word;
use crate::runtime::global_nanos;

impl Workload {
    /// Somebody asks for another token under the id of one that this cluster knows, whatever has become of that one.
    pub(super) async fn take_id(&self, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        let record = &held.record;
        // An id is free again once all that is known of it is purged.
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        if held.plain || record.index < self.begun || record.expiry() <= now + 60 {
            return;
        }
        self.count("taken id");
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        let mut order = self.order(user, "admin", Lifetime::from_secs(600));
        order.id = record.id;
        let reply = self.propose(computer, administrator(), Action::IssueToken(Box::new(order))).await;
        if let Reply::Decided { outcome: Outcome::Issued(record), index, text: Some(text) } = reply {
            let sum = first_word(&Sha256::digest(text.as_bytes()));
            self.cluster.history.tell(&Event::Issued { id: record.id, by: None, index, sum });
        }
    }
}
