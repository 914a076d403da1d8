//! Verifying, by the product's own judgement and its own rule of freshness.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::{Clocks, Instants, Published};
use circlet_token::{KeySet, ServiceId};
use openraft_rt::AsyncRuntime;

use super::{Held, PATIENCE, Workload, subject_number};
use crate::cluster::{Computer, ask};
use crate::history::Event;
use crate::judge::{self, Rules, check_signature};
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::{self, Scope};
use crate::vouch::{Opinion, Unvouched, Witness, vouch};

/// A node as the rule sees it; where a bug of the rule is planted, it is told lies.
struct Node {
    member: Arc<Member>,
    scope: Arc<Scope>,
}

impl Witness for Node {
    type Stale = String;

    fn published(&self) -> Arc<Published<State>> {
        let published = self.member.published();
        if self.scope.history().plant() == Plant::NoProofAfterStart && published.fresh_as_of.is_none() {
            let (view, index) = (Arc::clone(&published.view), published.index);
            return Arc::new(Published {
                view,
                index,
                fresh_as_of: Some(self.scope.now()),
                sources: Arc::default(),
            });
        }
        published
    }

    fn instants(&self) -> Instants {
        let planted = self.scope.history().plant() == Plant::NoFreshnessCheck;
        let noted = planted.then(|| self.member.published().fresh_as_of).flatten();
        noted.unwrap_or_else(|| self.scope.now())
    }

    async fn fresh(&self) -> Result<Arc<Published<State>>, String> {
        let wait = u64::try_from(self.member.published().view.config().stale_wait_ms).unwrap_or(0);
        match NodeRuntime::timeout(Duration::from_millis(wait), self.member.fresh(None)).await {
            Ok(fresh) => fresh.map_err(|error| error.0),
            Err(_) => Err(format!("no proof of freshness within {wait} ms")),
        }
    }
}

/// What came of a verification.
enum Verdict {
    Accepted { proved: bool },
    Refused,
    Stale,
}

async fn judged(member: Arc<Member>, text: Arc<str>) -> Verdict {
    let Some(scope) = scope::current() else { return Verdict::Stale };
    let node = Node { member, scope };
    let opinion = |published: &Arc<Published<State>>| {
        let now = node.scope.wall_ms().max(published.view.now_ms()) / 1_000;
        let signed = |_: &ServiceId, keys: &Arc<KeySet>| check_signature(&text, keys).map(Arc::new);
        match judge::judge(&published.view, now, Rules::HERE, signed) {
            Ok(good) => Opinion::Good { found: (), needs_freshness: good.needs_freshness, feed: good.feed },
            Err(why) => Opinion::Refused { may_change: judge::may_change(&why), why },
        }
    };
    match vouch(&node, opinion).await {
        Ok(()) => Verdict::Accepted { proved: node.member.published().fresh_as_of.is_some() },
        Err(Unvouched::Refused(_) | Unvouched::FeedStale { .. }) => Verdict::Refused,
        Err(Unvouched::Stale(_) | Unvouched::TooSlow) => Verdict::Stale,
    }
}

/// After a revoke its token is shown again this much later than the bound, in milliseconds.
const LATER_MS: [u64; 6] = [3, 60, 150, 300, 600, 1_200];

impl Workload {
    /// Shows a revoked token to every node, several times, from the moment on at which each must refuse it.
    pub(super) async fn hunt(self: Arc<Self>, held: Held) {
        let begun = global_nanos();
        for later_ms in LATER_MS {
            let at = begun + (2_000 + later_ms) * 1_000_000;
            NodeRuntime::sleep(Duration::from_nanos(at.saturating_sub(global_nanos()))).await;
            for computer in self.cluster.running() {
                let (this, held) = (Arc::clone(&self), held.clone());
                drop(NodeRuntime::spawn(async move { this.show(&computer, held).await }));
            }
        }
    }

    /// Shows some token to a node.
    pub(super) async fn verify(&self, computer: &Computer) {
        if let Some(held) = self.some_token() {
            self.show(computer, held).await;
        }
    }

    async fn show(&self, computer: &Computer, held: Held) {
        let (node, sent) = (computer.id, global_nanos());
        let text = Arc::clone(&held.text);
        let asked = ask(computer, move |member| judged(member, text));
        let (accepted, proved) = match NodeRuntime::timeout(PATIENCE, asked).await {
            Ok(Some(Verdict::Accepted { proved })) => (true, proved),
            Ok(Some(Verdict::Refused)) => (false, true),
            Ok(Some(Verdict::Stale) | None) | Err(_) => {
                self.count("verify unanswered");
                return;
            }
        };
        self.count(if accepted { "verify accepted" } else { "verify refused" });
        let (id, subject, index) = (held.record.id, subject_number(&held.record), held.record.index);
        let revocable = held.record.revocable;
        self.cluster.history.tell(&Event::Verified {
            node,
            id,
            subject,
            index,
            sent,
            accepted,
            proved,
            revocable,
        });
    }
}
