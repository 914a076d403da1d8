//! Reads that insist on being fresh: of the view as such, and of lists, page by page.

use std::sync::Arc;

use circlet_authority::{State, TokenCursor, TokenFilter, TokenOrder, TokenPage};
use openraft_rt::AsyncRuntime;

use super::{Held, PATIENCE, Workload, witness};
use crate::cluster::{Computer, ask};
use crate::history::Event;
use crate::house::{self, THEIRS};
use crate::linear::value::{self, ABSENT, DISABLED, GOOD};
use crate::linear::{Object, Step, token, version};
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

/// Pages are small, so that there are several.
const PAGE: usize = 8;

impl Workload {
    pub(super) async fn read_fresh(&self, computer: &Computer) {
        self.count("fresh read");
        let sent = global_nanos();
        let asked = ask(computer, |member| async move { member.fresh(None).await.map(|seen| seen.index) });
        match NodeRuntime::timeout(PATIENCE, asked).await {
            Ok(Some(Ok(index))) => {
                self.cluster.history.tell(&Event::Fresh { node: computer.id, index, sent });
            }
            _ => self.count("fresh read failed"),
        }
    }

    /// Reads the latest tokens page by page, each page from a view that is fresh, and beside them who is there, who is
    /// trusted, and the version of the configuration.
    pub(super) async fn read_list(&self, computer: &Computer) {
        self.count("list read");
        let mut cursor = None;
        for _ in 0..self.dice.between(1, 3) {
            let (sent, from) = (global_nanos(), cursor.take());
            let asked = ask(computer, |member| listed(member, from, sent));
            let Ok(Some(Some(list))) = NodeRuntime::timeout(PATIENCE, asked).await else {
                self.count("list read failed");
                return;
            };
            self.record_page(&list, sent);
            self.tell_uses(&list.view, list.page.tokens.iter().map(|record| record.id), sent);
            self.record_rest(&list.view, sent);
            cursor = list.page.next;
            if cursor.is_none() {
                return;
            }
        }
    }

    /// Keeps of every token that it is on the page, or that it is not though it should be.
    fn record_page(&self, list: &List, sent: u64) {
        // Behind what the page before ended with, and down to where this one ends.
        let place = |cursor: &TokenCursor| cursor.key.parse::<u64>().ok();
        let above = list.from.as_ref().and_then(place).unwrap_or(u64::MAX);
        let below = list.page.next.as_ref().and_then(place).unwrap_or(0);
        for held in self.known_before(sent) {
            let record = &held.record;
            let (id, index) = (record.id, record.index);
            if list.page.tokens.iter().any(|listed| listed.id == id) {
                self.record_token(record, token::Step::Live { id }, sent, true);
            } else if below < index && index < above && record.expiry() > list.now_secs {
                self.record_token(record, token::Step::Dead { id }, sent, true);
            }
        }
    }

    /// The tokens that can be revoked and are in the log, as far as clients knew of them before they asked.
    pub(super) fn known_before(&self, sent: u64) -> Vec<Held> {
        let held = lock(&self.held);
        let counts = |held: &&Held| !held.plain && held.record.revocable && held.since < sent;
        held.iter().filter(counts).cloned().collect()
    }

    pub(super) fn record_rest(&self, view: &State, sent: u64) {
        for user in house::USERS {
            let value = match view.user(&house::name(user)) {
                Some(user) if user.is_enabled() => GOOD,
                Some(_) => DISABLED,
                None => ABSENT,
            };
            self.record_now(Object::User(user), Step::Value(value::Step::Read(value)), sent);
        }
        self.record_groups(view, sent);
        for theirs in &*THEIRS {
            let kid = theirs.kid.clone();
            let value = if view.trusted(&kid).is_some() { GOOD } else { ABSENT };
            self.record_now(Object::Issuer(kid), Step::Value(value::Step::Read(value)), sent);
        }
        let read = version::Step::Read { version: view.config_version() };
        self.record_now(Object::Configuration, Step::Version(read), sent);
    }
}

/// What a node answers to a list read.
struct List {
    view: Arc<State>,
    /// Where the page begins.
    from: Option<TokenCursor>,
    page: TokenPage,
    /// What had expired by then is not on it.
    now_secs: u64,
}

/// A page of a view that was proved fresh after this call began.
async fn listed(member: Arc<Member>, from: Option<TokenCursor>, sent: u64) -> Option<List> {
    let node = witness::Node::here(Arc::clone(&member))?;
    let published = match (node.plant(), node.has_proved()) {
        (Plant::StaleLists, true) | (Plant::NoProofAfterStart, false) => member.published(),
        _ => member.fresh(None).await.ok()?,
    };
    node.tell_listed(&published, sent);
    let view = Arc::clone(&published.view);
    let now_secs = node.now_secs(&view);
    let filter = TokenFilter { now_secs, ..TokenFilter::default() };
    let page = view.tokens(&filter, TokenOrder::Created, true, from.as_ref(), PAGE);
    Some(List { view, from, page, now_secs })
}
