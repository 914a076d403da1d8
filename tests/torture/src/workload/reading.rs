//! Reads that insist on being fresh.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_token::TokenId;
use reqwest::Method;

use super::{Held, TOKENS, Workload};
use crate::client::Shown;
use crate::lab::Node;

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
                self.judge.tell(&Event::Fresh { node: node.number, index, sent });
                self.gaps.success("fresh read", self.judge.now());
            }
            None => self.judge.count("fresh read without success"),
        }
    }

    /// Whether a node says that it serves.
    pub(crate) async fn is_ready(&self, node: &Node) -> bool {
        let url = format!("{}/readyz", node.url);
        let answer = self.client.send(Method::GET, url, Shown::Nothing, None).await;
        answer.is_some_and(|answer| answer.status == 200)
    }

    /// Lists what a node knows of a user's tokens: everything that was acknowledged and that nobody tried to end.
    pub(super) async fn list(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        if !node.tells_time(self.judge.now()) {
            return;
        }
        let expected: Vec<Held> = {
            let all = self.held();
            all.iter().filter(|known| known.user == held.user && self.is_untouched(known)).cloned().collect()
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
            let url = format!("{}{TOKENS}?consistency=strong{filter}{cursor}", node.url);
            let answer = self.client.send(Method::GET, url, Shown::Token(&self.admin), None).await?;
            if answer.status != 200 {
                return None;
            }
            let tokens = answer.body["tokens"].as_array()?;
            listed.extend(tokens.iter().filter_map(|token| TokenId::parse(token["token_id"].as_str()?).ok()));
            match answer.text("cursor") {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Some(listed),
            }
        }
    }
}
