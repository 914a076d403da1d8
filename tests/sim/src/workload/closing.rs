//! What clients do at the end, when nothing is wrong any more: they stop, write once more through every node, and look
//! whether each node has all that was acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_authority::{IssueToken, Judgement, State, TokenFilter, TokenOrder};
use circlet_raft::Clocks;
use circlet_token::{Algorithm, Lifetime, TokenId, Verified};
use openraft_rt::AsyncRuntime;

use super::{Held, Verdict, Workload, administrator, subject_number};
use crate::cluster::Computer;
use crate::history::Event;
use crate::house::ADMINISTRATOR;
use crate::linear::token;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

/// A request that has begun takes so long at most, with all its repeats.
const REST_MS_MAX: u64 = 60_000;

impl Workload {
    /// No client begins anything from now on. Whether all that had begun has ended in a while.
    pub async fn rest(&self) -> bool {
        self.stop();
        for _ in 0..REST_MS_MAX / 20 {
            if self.at_work.load(Ordering::SeqCst) == 0 {
                return true;
            }
            NodeRuntime::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Whether a node has a write decided now.
    pub async fn writes_through(&self, computer: &Computer) -> bool {
        self.count("fresh write");
        self.issue(computer).await
    }

    /// Has a node issue tokens of each kind for somebody who may have them, and every node vouch for them: what is good is
    /// refused by none.
    pub async fn is_served_by(&self, computer: &Computer) -> Result<(), String> {
        let recorded = [(true, 600), (false, 12_000)];
        for (force_revocable, secs) in recorded {
            let order = self.order(ADMINISTRATOR, ADMINISTRATOR, Lifetime::from_secs(secs));
            let (id, order) = (order.id, IssueToken { force_revocable, ..order });
            self.issue_by(computer, &administrator(), order, None, true).await;
            let held = lock(&self.held).iter().rev().find(|held| held.record.id == id).cloned();
            self.is_good_everywhere(&held.ok_or("no token comes of a request")?).await?;
        }
        // As long as one may live that the log needn't know.
        let recorded_secs = self.cluster.view().map_or(0, |view| view.config().persistent_expiry_threshold);
        let secs = u64::try_from(recorded_secs - 1).unwrap_or(1).min(600);
        let plain =
            self.have_drafted(computer, self.request_for(ADMINISTRATOR, Lifetime::from_secs(secs))).await?;
        self.is_good_everywhere(&plain).await
    }

    async fn is_good_everywhere(&self, held: &Held) -> Result<(), String> {
        for computer in self.cluster.computers() {
            self.count("good token shown");
            let verdict = self.present(&computer, Arc::clone(&held.text), &held.record.kid).await;
            let why = match verdict {
                Some(Verdict::Accepted { .. }) => continue,
                Some(Verdict::Refused { why, .. }) => why.to_string(),
                Some(Verdict::Stale) | None => "it can't vouch for it".to_owned(),
            };
            return Err(format!(
                "node {} doesn't take the good token {}: {why}",
                computer.id, held.record.id
            ));
        }
        Ok(())
    }

    /// Keeps what a node's state says of all that clients know, beside what they were told before: it must have an order
    /// as a whole, and nothing that was revoked is good.
    pub fn take_stock(&self, computer: &Computer) {
        let Some((scope, member)) = computer.node() else { return };
        let (view, sent) = (Arc::clone(&member.published().view), global_nanos());
        let now_secs = scope.wall_ms().max(view.now_ms()) / 1_000;
        let live = live_tokens(&view, now_secs);
        for held in self.known_before(sent).iter().filter(|held| held.record.expiry() > now_secs) {
            let id = held.record.id;
            let step = if live.contains(&id) { token::Step::Live { id } } else { token::Step::Dead { id } };
            self.record_token(&held.record, step, sent, true);
        }
        self.record_rest(&view, sent);
        self.tell_uses(&view, live.iter().copied(), sent);
        let held = lock(&self.held).clone();
        for held in held.iter().filter(|held| held.record.expiry() > now_secs) {
            self.tell_if_good(computer, &view, held, now_secs);
        }
    }

    fn tell_if_good(&self, computer: &Computer, view: &State, held: &Held, now_secs: u64) {
        let record = &held.record;
        let claims = record.claims(&self.cluster.service);
        let verified = Verified { claims, key: record.kid.clone(), algorithm: Algorithm::EdDsa };
        if !matches!(view.judge(&verified, now_secs), Judgement::Good { .. }) {
            return;
        }
        self.cluster.history.tell(&Event::Verified {
            node: computer.id,
            id: record.id,
            subject: subject_number(record),
            index: record.index,
            view: view.index(),
            sent: global_nanos(),
            accepted: true,
            proved: true,
            revocable: record.revocable,
        });
    }
}

/// The recorded tokens that a view lists, page by page.
fn live_tokens(view: &State, now_secs: u64) -> BTreeSet<TokenId> {
    let filter = TokenFilter { now_secs, ..TokenFilter::default() };
    let (mut live, mut cursor) = (BTreeSet::new(), None);
    loop {
        let page = view.tokens(&filter, TokenOrder::Created, true, cursor.as_ref(), usize::MAX);
        live.extend(page.tokens.iter().map(|record| record.id));
        cursor = page.next;
        if cursor.is_none() {
            return live;
        }
    }
}
