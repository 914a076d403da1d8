//! Tokens that a cluster leaves behind which begins anew on floors.

use std::sync::Arc;

use circlet_authority::{Judgement, State};
use circlet_token::{Algorithm, Verified};

use super::verifying::Verdict;
use super::{Held, Workload};
use crate::clock::START_MS;
use crate::history::Event;
use crate::house;
use crate::runtime::global_nanos;
use crate::scope::lock;

/// They live for so much longer, in seconds.
const REST_SECS: u64 = 60;
/// So many are looked at, the latest first.
const TOKENS_SHOWN: usize = 40;

impl Workload {
    /// Those that were good by the last state of a cluster, and of whose users the state knows with which it begins anew.
    pub fn good_by(&self, last: &State, before: &State) -> Vec<Held> {
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        let is_good = |held: &&Held| {
            let record = &held.record;
            let claims = record.claims(&self.cluster.service);
            let verified = Verified { claims, key: record.kid.clone(), algorithm: Algorithm::EdDsa };
            record.expiry() > now + REST_SECS
                && matches!(last.judge(&verified, now), Judgement::Good { .. })
                && (!record.scope.is_user() || may_speak(held, before))
        };
        lock(&self.held).iter().rev().filter(is_good).take(TOKENS_SHOWN).cloned().collect()
    }

    /// Shows every node what must live on, of what was issued before the second at which the cluster began.
    pub async fn show_good(&self, good: &[Held], second: u64) {
        for computer in self.cluster.running() {
            let Some(view) = computer.node().map(|(_, member)| Arc::clone(&member.published().view)) else {
                continue;
            };
            for held in good.iter().filter(|held| held.record.issued_at < second) {
                // Somebody may have been shut out in the very last moment.
                if held.record.scope.is_user() && !may_speak(held, &view) {
                    continue;
                }
                let (text, kid) = (Arc::clone(&held.text), &held.record.kid);
                let Some(verdict) = self.present(&computer, text, kid).await else { continue };
                let accepted = matches!(verdict, Verdict::Accepted { .. });
                self.count("good token of before shown");
                let (node, id) = (computer.id, held.record.id);
                self.cluster.history.tell(&Event::LivedOn { node, id, accepted });
            }
        }
    }
}

fn may_speak(held: &Held, view: &State) -> bool {
    let user = held.record.subject.user_name();
    user.and_then(|user| view.user(&house::name(user))).is_some_and(|user| user.is_enabled())
}
