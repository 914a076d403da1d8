//! Creating tokens.

use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_sim::linear::token::Step;
use reqwest::Method;
use serde_json::{Value, json};

use super::marks::MARKED_GROUP;
use super::plain::PLAIN_USER;
use super::{ATTEMPTS, Held, Reply, TOKENS, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

/// For how long nodes that are cut off issue plain tokens and verify, so short that a run goes beyond it.
pub(crate) const ISSUE_MAX_ISOLATION_MS: u64 = 4_000;
pub(crate) const VERIFY_MAX_ISOLATION_MS: u64 = 6_000;
/// `verify.max-staleness-ms`, by default.
pub(crate) const MAX_STALENESS_MS: u64 = 2_000;

/// Users beside the administrator.
pub(crate) const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// A user whom nobody removes, shuts out or marks, so that there are recorded tokens of whose life nothing is open.
pub(crate) const LASTING_USER: &str = "erin";

impl Workload {
    /// An administrator creates a token for a user.
    pub(crate) async fn issue(&self, node: &Arc<Node>) {
        let user = self.dice.pick(&USERS).copied().filter(|_| self.dice.percent(75)).unwrap_or(LASTING_USER);
        let mut order = self.order(user);
        if self.dice.percent(20) {
            order["scope"] = format!("applied-permissions/groups:{MARKED_GROUP}").into();
        }
        let admin = self.admin();
        self.issue_by(node, Shown::Token(&admin.text), order, None).await;
    }

    /// An administrator creates a token that can be revoked, for a user who stays.
    pub(crate) async fn issue_revocable(&self, node: &Arc<Node>) {
        let mut order = self.order(LASTING_USER);
        order["force_revocable"] = true.into();
        let admin = self.admin();
        self.issue_by(node, Shown::Token(&admin.text), order, None).await;
    }

    /// A user creates another token with a token.
    pub(super) async fn issue_with_token(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        if held.user == PLAIN_USER {
            return;
        }
        let order = self.order(&held.user);
        self.issue_by(node, Shown::Token(&held.text), order, Some(held.clone())).await;
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
    async fn issue_by(&self, node: &Arc<Node>, shown: Shown<'_>, order: Value, by: Option<Held>) {
        let key = format!("{:016x}{:016x}", self.dice.word(), self.dice.word());
        let mut through = Arc::clone(node);
        let user = order["username"].as_str().unwrap_or_default().to_owned();
        let begun = self.judge.now();
        let before = self.touched.before_issue(&user);
        for _ in 0..ATTEMPTS {
            let sent = self.judge.now();
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
                    let Some(mut held) = Held::of(&answer, self.judge.now()) else {
                        self.judge.accuse("answers", "what was issued can't be read".to_owned());
                        return;
                    };
                    let id = by.as_ref().map(|by| by.id);
                    held.origins = by.map(Held::with_origins).unwrap_or_default();
                    let step = Step::Issue { id: held.id, subject: held.subject };
                    self.record_token(&held, step, begun, true);
                    self.judge.tell(&Event::Issued { id: held.id, by: id, index, sum: held.sum() });
                    if !self.touched.spared(&user, before) {
                        self.touched.tokens([held.id]);
                    }
                    self.keep(held.clone());
                    return self.signed(&through, &held, false, sent).await;
                }
                Reply::Refused(_) => return,
                Reply::Unknown => {}
            }
            through = self.another(&through).unwrap_or(through);
        }
    }
}
