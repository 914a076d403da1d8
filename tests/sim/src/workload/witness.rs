//! A node as the rule of freshness sees it; where a bug of the rule is planted, it is told lies.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{State, TokenRecord};
use circlet_raft::{Clocks, Instants, Published};
use openraft_rt::AsyncRuntime;

use crate::history::Event;
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{self, Scope};
use crate::vouch::Witness;

pub(super) struct Node {
    member: Arc<Member>,
    scope: Arc<Scope>,
}

impl Node {
    /// The node that is being polled.
    pub(super) fn here(member: Arc<Member>) -> Option<Self> {
        Some(Self { member, scope: scope::current()? })
    }

    /// What was planted.
    pub(super) fn plant(&self) -> Plant {
        self.scope.history().plant()
    }

    /// The node's time: the later of its wall clock and what a view knows.
    pub(super) fn now_secs(&self, view: &State) -> u64 {
        self.scope.wall_ms().max(view.now_ms()) / 1_000
    }

    /// Its clocks, by which plain tokens are issued.
    pub(super) fn clocks(&self) -> Instants {
        let planted = self.plant() == Plant::NoFreshnessCheck;
        let noted = planted.then(|| self.member.published().fresh_as_of).flatten();
        noted.unwrap_or_else(|| self.scope.now())
    }

    /// How old a view is, by the node's true boot clock at `boot_ms`; nothing if it was never proved fresh.
    pub(super) fn age_ms(published: &Published<State>, boot_ms: u64) -> Option<u64> {
        Some(boot_ms.saturating_sub(published.fresh_as_of?.boot_ms))
    }

    /// What its boot clock shows, whatever it is told.
    pub(super) fn boot_ms(&self) -> u64 {
        self.scope.boot_ms()
    }

    /// It answers a question of this moment with a list.
    pub(super) fn tell_listed(&self, published: &Published<State>, sent: u64) {
        let (node, view, proved) = (self.scope.node(), published.index, published.fresh_as_of.is_some());
        self.scope.history().tell(&Event::Listed { node, view, sent, proved });
    }

    /// It hands out a plain token. One that it signed and keeps to itself, since its clock is off, is nobody's.
    pub(super) fn tell_handed_out(&self, view: &State, record: &TokenRecord) {
        self.scope.history().note_plain(record);
        let (node, config) = (self.scope.node(), view.config());
        let secs = |secs: i64| u64::try_from(secs).unwrap_or(0);
        let allowed_ms = (secs(config.clock_leeway) + secs(config.issue_max_isolation)) * 1_000;
        self.scope.history().tell(&Event::Dated { node, dated_ms: record.issued_at * 1_000, allowed_ms });
    }

    /// Whether it has proved freshness since its start.
    pub(super) fn has_proved(&self) -> bool {
        self.member.published().fresh_as_of.is_some()
    }
}

impl Witness for Node {
    type Stale = String;

    fn published(&self) -> Arc<Published<State>> {
        let published = self.member.published();
        if self.plant() != Plant::NoProofAfterStart || published.fresh_as_of.is_some() {
            return published;
        }
        let told = self.scope.now();
        let (view, index) = (Arc::clone(&published.view), published.index);
        let sources = Arc::clone(&published.sources);
        Arc::new(Published { view, index, fresh_as_of: Some(told), sources })
    }

    fn instants(&self) -> Instants {
        let (published, now) = (self.member.published(), self.clocks());
        let Some(noted) = published.fresh_as_of.filter(|_| self.plant() == Plant::VerifyWhenIsolated) else {
            return now;
        };
        let bound_ms = u64::try_from(published.view.config().verify_max_isolation).unwrap_or(0) * 1_000;
        Instants {
            boot_ms: now.boot_ms.min(noted.boot_ms + bound_ms),
            wall_ms: now.wall_ms.min(noted.wall_ms + bound_ms),
        }
    }

    async fn fresh(&self) -> Result<Arc<Published<State>>, String> {
        let wait = u64::try_from(self.member.published().view.config().stale_wait_ms).unwrap_or(0);
        match NodeRuntime::timeout(Duration::from_millis(wait), self.member.fresh(None)).await {
            Ok(fresh) => fresh.map_err(|error| error.0),
            Err(_) => Err(format!("no proof of freshness within {wait} ms")),
        }
    }
}
