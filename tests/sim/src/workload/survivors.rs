//! Tokens that a cluster leaves behind which begins anew on floors, and those of nodes that live on beside it.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::{Judgement, State};
use circlet_token::feed::FeedEntry;
use circlet_token::{Algorithm, TokenId, Verified};

use super::verifying::Verdict;
use super::{Held, Workload};
use crate::clock::START_MS;
use crate::history::Event;
use crate::house;
use crate::mark::{Facts, Mark};
use crate::runtime::global_nanos;
use crate::scope::lock;

/// They live for so much longer, in seconds.
const REST_SECS: u64 = 60;
/// So many are looked at, the latest first.
const TOKENS_SHOWN: usize = 40;

impl Workload {
    /// Those that were good by the last state of a cluster, but for what the state refuses with which it begins anew.
    pub fn good_by(&self, last: &State, before: &State) -> Vec<Held> {
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        let is_good = |held: &&Held| {
            let record = &held.record;
            let claims = record.claims(&self.cluster.service);
            let verified = Verified { claims, key: record.kid.clone(), algorithm: Algorithm::EdDsa };
            let judged = |state: &State| state.judge(&verified, now);
            record.expiry() > now + REST_SECS
                && matches!(judged(last), Judgement::Good { .. })
                && !matches!(judged(before), Judgement::Revoked(_))
                && !refuses(before, held)
        };
        lock(&self.held).iter().rev().filter(is_good).take(TOKENS_SHOWN).cloned().collect()
    }

    /// Shows every node what the clients of nodes that were given up have been issued since: none accepts it.
    pub async fn show_since(&self, of_given_up: &Self) {
        let known: BTreeSet<TokenId> = lock(&self.held).iter().map(|held| held.record.id).collect();
        let is_new = |held: &&Held| !known.contains(&held.record.id);
        let since: Vec<Held> =
            lock(&of_given_up.held).iter().rev().filter(is_new).take(TOKENS_SHOWN).cloned().collect();
        for computer in self.cluster.running() {
            for held in &since {
                let (text, kid) = (Arc::clone(&held.text), &held.record.kid);
                let Some(verdict) = self.present(&computer, text, kid).await else { continue };
                let accepted = matches!(verdict, Verdict::Accepted { .. });
                self.count("token of given up nodes shown");
                let (node, id) = (computer.id, held.record.id);
                self.cluster.history.tell(&Event::ShownOfGivenUp { node, id, accepted });
            }
        }
    }

    /// Shows every node what must live on, of what was issued before the second at which the cluster began.
    pub async fn show_good(&self, good: &[Held], second: u64) {
        for computer in self.cluster.running() {
            let Some(view) = computer.node().map(|(_, member)| Arc::clone(&member.published().view)) else {
                continue;
            };
            for held in good.iter().filter(|held| held.record.issued_at < second) {
                // Somebody may have been shut out in the very last moment.
                if !may_speak(held, &view) {
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

/// Whether a state refuses a token, also of a key that it doesn't know: its user as the backup knows that, or what a node had
/// written that is left, though nobody else had heard of it.
fn refuses(state: &State, held: &Held) -> bool {
    let (facts, id) = (Facts::of_record(&held.record), held.record.id);
    let is_it = |entry: FeedEntry| match entry {
        FeedEntry::Listed { id: listed, .. } | FeedEntry::Unseen { id: listed, .. } => listed == id,
        _ => false,
    };
    !may_speak(held, state)
        || state.watermarks().any(|(whom, mark)| Mark::held(&whom, &mark).ends(&facts))
        || state.revoked_entries().any(is_it)
}

/// Whether its user may: who is disabled may not, and who is unknown has no live permissions.
fn may_speak(held: &Held, view: &State) -> bool {
    let Some(name) = held.record.subject.user_name() else { return !held.record.scope.is_user() };
    let user = view.user(&house::name(name));
    user.map_or(!held.record.scope.is_user(), |user| user.is_enabled())
}
