//! Creating tokens.

use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_sim::linear::token::Step;
use reqwest::Method;
use serde_json::{Value, json};

use super::marks::MARKED_GROUP;
use super::{ATTEMPTS, Held, Reply, TOKENS, Workload, Write};
use crate::client::{Answer, Shown};
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

/// What plain tokens claim. Nobody changes it.
pub(crate) const PLAIN_GROUP: &str = "readers";

/// A token of a user that lives shorter than what the log records; and nobody is called so.
pub(crate) const PLAIN_USER: &str = "plain";

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

    /// A plain token, and whether it is good everywhere: that needs no leader, so a sound node never refuses.
    pub(crate) async fn issue_plain(&self, node: &Arc<Node>) {
        let was_sound = node.is_sound(self.judge.now());
        let Some(held) = self.plain(node, was_sound).await else { return };
        for verifier in self.lab.running() {
            let was_sound = was_sound && verifier.is_sound(self.judge.now());
            self.verify_plain(&verifier, &held, was_sound).await;
        }
    }

    async fn plain(&self, node: &Arc<Node>, was_sound: bool) -> Option<Held> {
        self.judge.count("plain issue");
        let scope = format!("applied-permissions/groups:{PLAIN_GROUP}");
        let body = json!({ "username": PLAIN_USER, "scope": scope, "expires_in": 600 });
        let url = format!("{}{TOKENS}", node.url);
        let (admin, sent) = (self.admin(), self.judge.now());
        let before = node.condition();
        let answer = self.client.send(Method::POST, url, Shown::Token(&admin.text), Some(&body)).await;
        let alone = before.is_alone_until(&node.condition());
        let asked = Plain {
            what: "issue",
            bound_ms: ISSUE_MAX_ISOLATION_MS,
            ended: "plain refused: administrator out",
            shown: &admin.text,
        };
        let Some(answer) = answer.filter(|answer| self.is_plain_answer(node, &asked, answer, was_sound))
        else {
            self.judge.count("plain issue without success");
            return None;
        };
        self.gaps.success("plain issue", self.judge.now());
        let held = Held::of(&answer, self.judge.now())?;
        self.signed_after(node, &held, true, sent, !alone).await;
        Some(held)
    }

    async fn verify_plain(&self, node: &Arc<Node>, held: &Held, was_sound: bool) {
        self.judge.count("plain verify");
        let sent = self.judge.now();
        let answer = self.show(node, &held.text).await;
        let asked = Plain {
            what: "verify",
            bound_ms: VERIFY_MAX_ISOLATION_MS,
            ended: "plain refused: key ended",
            shown: &held.text,
        };
        match answer.filter(|answer| self.is_plain_answer(node, &asked, answer, was_sound)) {
            Some(answer) => {
                self.gaps.success("plain verify", self.judge.now());
                let view = answer.body["index"].as_u64().unwrap_or(0);
                self.vouched(node, &held.kid, view, sent).await;
            }
            None => self.judge.count("plain verify without success"),
        }
    }

    /// Whether it is a success; if it is not, the node must have been unsound before or after, or something excuses it.
    fn is_plain_answer(&self, node: &Node, asked: &Plain<'_>, answer: &Answer, was_sound: bool) -> bool {
        if answer.status == 200 {
            return true;
        }
        let now = self.judge.now();
        if !was_sound || !node.is_sound(now) || !self.lab.is_alive(node) {
            return false;
        }
        if let Some(excuse) = self.excuse(node, asked, answer, now) {
            self.judge.count(excuse);
        } else {
            let Plain { what, .. } = asked;
            let said = format!("plain {what} at node {}: {} {}", node.number, answer.status, answer.body);
            self.judge.accuse("plain-without-leader", said);
        }
        false
    }

    /// Why a sound node may refuse what needs no leader.
    fn excuse(&self, node: &Node, asked: &Plain<'_>, answer: &Answer, now: u64) -> Option<&'static str> {
        match answer.status {
            // Nothing shows that it has proved freshness lately enough to go on.
            503 if now > node.fresh_since() + asked.bound_ms * 1_000_000 => Some("plain refused: isolated"),
            // The key that signs in the place of one that leaked waits for nobody.
            503 if node.fresh_since() <= self.touched.last_leak() => Some("plain refused: key unknown"),
            401 if self.explains_refusal(Shown::Token(asked.shown)) => Some(asked.ended),
            _ => None,
        }
    }
}

/// What is asked for and needs no leader.
struct Plain<'a> {
    what: &'static str,
    /// For how long a node that is cut off does it.
    bound_ms: u64,
    /// How it is counted that it was refused since the key had been ended.
    ended: &'static str,
    /// The token that is shown.
    shown: &'a str,
}
