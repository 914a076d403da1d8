//! Reads that insist on being fresh: of the view as such, and of lists, page by page.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_sim::linear::token::Step;
use circlet_token::TokenId;
use reqwest::Method;
use serde_json::Value;

use super::{Held, TOKENS, Workload};
use crate::client::{Answer, Shown};
use crate::lab::Node;

/// A cluster in which nothing is wrong yet is waited for so long, in nanoseconds.
const PATIENCE: u64 = 30_000_000_000;

/// Pages are small, so that there are several.
const PAGE: usize = 8;

impl Workload {
    /// Asks a node how far a fresh view of it is; whether it could say.
    pub(crate) async fn read_fresh(&self, node: &Arc<Node>) {
        self.judge.count("fresh read");
        let sent = self.judge.now();
        let url = format!("{}/readyz?consistency=strong", node.url);
        let answer = self.client.send(Method::GET, url, Shown::Nothing, None).await;
        match answer
            .filter(|answer| answer.status == 200)
            .and_then(|answer| answer.body["applied_index"].as_u64())
        {
            Some(index) => {
                node.was_fresh(sent);
                self.judge.tell(&Event::Fresh { node: node.number, index, sent });
                self.gaps.success("fresh read", self.judge.now());
            }
            None => self.judge.count("fresh read without success"),
        }
    }

    /// Waits until every node has proved that it knows what was decided before.
    pub(crate) async fn until_all_know(&self) -> Result<(), String> {
        for node in self.lab.nodes() {
            let begun = self.judge.now();
            while node.fresh_since() < begun {
                self.read_fresh(&node).await;
                if self.judge.now() > begun + PATIENCE {
                    return Err(format!("node {} does not prove that its view is fresh", node.number));
                }
            }
        }
        Ok(())
    }

    /// Whether a node says that it serves.
    pub(crate) async fn is_ready(&self, node: &Node) -> bool {
        let url = format!("{}/readyz", node.url);
        let answer = self.client.send(Method::GET, url, Shown::Nothing, None).await;
        answer.is_some_and(|answer| answer.status == 200)
    }

    /// Asks a node as the administrator; whatever it says it says, if it answers at all.
    pub(crate) async fn read(&self, node: &Node, path: &str) -> Option<Answer> {
        let (admin, sent) = (self.admin(), self.judge.now());
        let url = format!("{}{path}", node.url);
        let answer = self.client.send(Method::GET, url, Shown::Token(&admin.text), None).await?;
        match answer.status {
            200 => {
                if path.contains("consistency=strong") {
                    node.was_fresh(sent);
                }
                return Some(answer);
            }
            401 if self.explains_refusal(Shown::Token(&admin.text)) => {}
            503 | 429 => {}
            _ if !node.tells_time(sent) => {}
            status => {
                let said = format!("{path} at node {}: {status} {}", node.number, answer.body);
                self.judge.accuse("answers", said);
            }
        }
        None
    }

    /// Reads the latest tokens page by page, each page from a view that is fresh.
    pub(super) async fn read_pages(&self, node: &Arc<Node>) {
        self.judge.count("pages read");
        let mut from = None;
        for _ in 0..self.dice.between(1, 3) {
            let sent = self.judge.now();
            let behind = from.take().map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
            let path = format!(
                "{TOKENS}?consistency=strong&order_by=created&descending_order=true&limit={PAGE}{behind}"
            );
            let had_time = node.tells_time(sent);
            let Some(answer) = self.read(node, &path).await else {
                self.judge.count("page without success");
                return;
            };
            let Some(tokens) = answer.body["tokens"].as_array() else { return };
            let page = Page {
                tokens: tokens.iter().filter_map(id_of).collect(),
                above: place(behind.strip_prefix("&cursor=")).unwrap_or(u64::MAX),
                below: place(answer.text("cursor")).unwrap_or(0),
                // Who has the time wrong leaves out what has not expired.
                is_whole: had_time && node.tells_time(self.judge.now()),
            };
            self.check_end(node, &page, answer.text("cursor"));
            self.record_page(&page, sent);
            from = answer.text("cursor").map(str::to_owned);
            if from.is_none() {
                return;
            }
        }
    }

    /// A page ends with what is on it: otherwise something is between two pages.
    fn check_end(&self, node: &Node, page: &Page, cursor: Option<&str>) {
        let last = cursor.and_then(|cursor| TokenId::parse(cursor.split_once('.')?.0).ok());
        if let Some(last) = last.filter(|last| !page.tokens.contains(last)) {
            let said = format!("a page of node {} ends with token {last}, which is not on it", node.number);
            self.judge.accuse("listed", said);
        }
    }

    /// Keeps of every token that it is on the page, or that it is not though it should be.
    fn record_page(&self, page: &Page, sent: u64) {
        let told = |held: &Held| {
            let id = held.id;
            let should_be = page.is_whole && page.below < held.index && held.index < page.above;
            let is_there = page.tokens.contains(&id);
            (is_there || should_be).then_some(if is_there { Step::Live { id } } else { Step::Dead { id } })
        };
        let known: Vec<(Held, Step)> = {
            let all = self.held();
            let counting = all.iter().filter(|held| held.revocable && held.since < sent);
            counting.filter_map(|held| Some((held.clone(), told(held)?))).collect()
        };
        for (held, step) in known {
            self.record_token(&held, step, sent, true);
        }
    }

    /// Lists what a node knows of a user's tokens: everything that was acknowledged and that nobody tried to end.
    pub(super) async fn list(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        if !node.tells_time(self.judge.now()) {
            return;
        }
        let expected: Vec<Held> = {
            let all = self.held();
            let of_user = all.iter().filter(|known| known.user == held.user && !known.is_plain);
            of_user.filter(|known| self.is_untouched(known)).cloned().collect()
        };
        self.judge.count("list");
        let Some(listed) = self.listed(node, &format!("&username={}", held.user)).await else {
            self.judge.count("list without success");
            return;
        };
        let lost = expected.iter().find(|known| !listed.contains(&known.id) && self.is_untouched(known));
        if let Some(lost) = lost
            && node.tells_time(self.judge.now())
        {
            let said =
                format!("token {} was acknowledged and is not in the list of node {}", lost.id, node.number);
            self.judge.accuse("listed", said);
        }
    }

    /// The ids of all tokens that match, on a fresh view, page after page.
    pub(crate) async fn listed(&self, node: &Arc<Node>, filter: &str) -> Option<BTreeSet<TokenId>> {
        let mut listed = BTreeSet::new();
        let mut cursor = String::new();
        loop {
            let path = format!("{TOKENS}?consistency=strong{filter}{cursor}");
            let answer = self.read(node, &path).await?;
            let tokens = answer.body["tokens"].as_array()?;
            listed.extend(tokens.iter().filter_map(id_of));
            match answer.text("cursor") {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(listed),
            }
        }
    }
}

/// A page of the list of tokens, by the time of issue.
struct Page {
    tokens: BTreeSet<TokenId>,
    /// What was issued at or above this index is on a page before.
    above: u64,
    /// What was issued below this index is on a page behind.
    below: u64,
    /// Whether everything in between is on it.
    is_whole: bool,
}

/// The log index at which a page ends.
fn place(cursor: Option<&str>) -> Option<u64> {
    cursor?.split_once('.')?.1.parse().ok()
}

fn id_of(token: &Value) -> Option<TokenId> {
    TokenId::parse(token["token_id"].as_str()?).ok()
}
