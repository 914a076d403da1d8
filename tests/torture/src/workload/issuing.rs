//! Creating tokens.

use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_token::TokenId;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ATTEMPTS, Held, Reply, TOKENS, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

/// Users beside the administrator.
pub(crate) const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// A token of a user that lives shorter than what the log records; and nobody is called so.
pub(crate) const PLAIN_USER: &str = "plain";

impl Workload {
    /// An administrator creates a token for a user.
    pub(crate) async fn issue(&self, node: &Arc<Node>) {
        let user = self.dice.pick(&USERS).copied().unwrap_or("alice");
        let order = self.order(user);
        self.issue_by(node, Shown::Token(&self.admin), order, None).await;
    }

    /// A user creates another token with a token.
    pub(super) async fn issue_with_token(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        if held.user == PLAIN_USER {
            return;
        }
        let order = self.order(&held.user);
        self.issue_by(node, Shown::Token(&held.text), order, Some(held.id)).await;
    }

    fn order(&self, user: &str) -> Value {
        json!({
            "username": user,
            "scope": "applied-permissions/user",
            "expires_in": self.dice.between(1_800, 3_000),
            "refreshable": self.dice.percent(60),
            "force_revocable": self.dice.percent(70),
        })
    }

    /// The same order again, if nobody said what became of it: the key makes it the same token.
    async fn issue_by(&self, node: &Arc<Node>, shown: Shown<'_>, order: Value, by: Option<TokenId>) {
        let key = format!("{:016x}{:016x}", self.dice.word(), self.dice.word());
        let mut through = Arc::clone(node);
        let user = order["username"].as_str().unwrap_or_default().to_owned();
        let before = self.touched.before_issue(&user, self.judge.now());
        for _ in 0..ATTEMPTS {
            let write = Write {
                method: Method::POST,
                path: TOKENS.to_owned(),
                shown,
                body: Some(&order),
                idempotency_key: Some(&key),
            };
            // A user may be gone, a token ended, a wrong clock may find it expired.
            match self.write(&through, "issue", write, &[400, 401, 403, 404]).await {
                Reply::Done(answer, index) => {
                    let Some(held) = Held::of(&answer) else {
                        self.judge.accuse("answers", "what was issued can't be read".to_owned());
                        return;
                    };
                    self.judge.tell(&Event::Issued { id: held.id, by, index, sum: held.sum() });
                    if !self.touched.spared(&user, before) {
                        self.touched.tokens([held.id]);
                    }
                    self.keep(held);
                    return;
                }
                Reply::Refused => return,
                Reply::Unknown => {}
            }
            through = self.another(&through).unwrap_or(through);
        }
    }

    /// A plain token, and whether it is good everywhere: that needs no leader, so a sound node never refuses.
    pub(super) async fn issue_plain(&self, node: &Arc<Node>) {
        let was_sound = node.is_sound(self.judge.now());
        let Some(held) = self.plain(node, was_sound).await else { return };
        for verifier in self.lab.running() {
            let was_sound = was_sound && verifier.is_sound(self.judge.now());
            self.verify_plain(&verifier, &held, was_sound).await;
        }
    }

    async fn plain(&self, node: &Arc<Node>, was_sound: bool) -> Option<Held> {
        self.judge.count("plain issue");
        let body = json!({
            "username": PLAIN_USER, "scope": "applied-permissions/groups:readers", "expires_in": 600,
        });
        let url = format!("{}{TOKENS}", node.url);
        let answer = self.client.send(Method::POST, url, Shown::Token(&self.admin), Some(&body)).await;
        let Some(answer) = answer.filter(|answer| self.is_plain_answer(node, "issue", answer, was_sound))
        else {
            self.judge.count("plain issue without success");
            return None;
        };
        self.gaps.success("plain issue", self.judge.now());
        Held::of(&answer)
    }

    async fn verify_plain(&self, node: &Arc<Node>, held: &Held, was_sound: bool) {
        self.judge.count("plain verify");
        let answer = self.show(node, &held.text).await;
        if answer.is_some_and(|answer| self.is_plain_answer(node, "verify", &answer, was_sound)) {
            self.gaps.success("plain verify", self.judge.now());
        } else {
            self.judge.count("plain verify without success");
        }
    }

    /// Whether it is a success; if it is not, the node must have been unsound before or after.
    fn is_plain_answer(
        &self,
        node: &Node,
        what: &str,
        answer: &crate::client::Answer,
        was_sound: bool,
    ) -> bool {
        if answer.status == 200 {
            return true;
        }
        if was_sound && node.is_sound(self.judge.now()) && self.lab.is_alive(node) {
            let said = format!("plain {what} at node {}: {} {}", node.number, answer.status, answer.body);
            self.judge.accuse("plain-without-leader", said);
        }
        false
    }
}
