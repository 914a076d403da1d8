//! Who signed with which key and accepted what of it; and keys that administrators publish, give up, and find leaked.

use std::sync::Arc;

use circlet_sim::history::{Event, Standing};
use circlet_token::KeyId;
use reqwest::Method;
use serde_json::json;

use super::marks::{Decided, Mark, Whom};
use super::{Held, Reply, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

const KEYS: &str = "/circlet/v1/keys";

/// So many tokens of a key that leaked are shown around at once.
const SHOWN_MAX: usize = 4;

/// Where a key stands, by what the list of keys says.
fn standing(text: &str) -> Option<Standing> {
    match text {
        "published" => Some(Standing::Published),
        "active" => Some(Standing::Active),
        "retiring" => Some(Standing::Retiring),
        "tainted" => Some(Standing::Tainted),
        "retired" => Some(Standing::Retired),
        _ => None,
    }
}

/// Whether tokens of a key that stands so may be accepted.
pub(super) fn is_usable(standing: Standing) -> bool {
    !matches!(standing, Standing::Tainted | Standing::Retired)
}

impl Workload {
    /// Reads from a node, on a view that is fresh, where our keys stand there, and tells it. One reading after the
    /// other: so a later one never says less.
    pub(crate) async fn read_keys(&self, node: &Node) -> Option<Vec<(KeyId, Standing)>> {
        let _reading = node.reading.lock().await;
        let answer = self.read(node, &format!("{KEYS}?consistency=strong")).await?;
        let read = |key: &serde_json::Value| {
            Some((KeyId::parse(key["kid"].as_str()?).ok()?, standing(key["state"].as_str()?)?))
        };
        let keys: Vec<_> = answer.body["keys"].as_array()?.iter().filter_map(read).collect();
        for (kid, standing) in &keys {
            self.ledger.tell(&self.judge, node.number, kid, *standing);
            if !is_usable(*standing) {
                self.touched.out_of_use(kid, self.judge.now());
            }
        }
        Some(keys)
    }

    /// A node handed out a token that it had been asked for at `sent`. That is told once it is clear where the key
    /// stands on that node.
    pub(super) async fn signed(&self, node: &Arc<Node>, held: &Held, plain: bool, sent: u64) {
        self.signed_after(node, held, plain, sent, true).await;
    }

    /// The same; `proved`: for all that is known it had proved freshness since its start.
    pub(super) async fn signed_after(
        &self,
        node: &Arc<Node>,
        held: &Held,
        plain: bool,
        sent: u64,
        proved: bool,
    ) {
        let known = self.ledger.standing(node.number, &held.kid);
        let is_active = known.is_some_and(|(_, standing)| standing == Standing::Active);
        // It may have become active since this node was looked at. A node that is alone can't be asked, and must not sign.
        if !is_active && proved && self.read_keys(node).await.is_none() {
            self.judge.count("signature not judged");
            return;
        }
        let (node, kid) = (node.number, held.kid.clone());
        match self.ledger.standing(node, &kid) {
            // What was asked for before may have been signed before.
            Some((since, standing)) if standing != Standing::Active && sent <= since => {}
            // When it proved freshness is not to be seen from outside.
            _ => self.judge.tell(&Event::Signed {
                node,
                kid,
                plain,
                // By which view a node signs what the log has decided, its answer doesn't say.
                view: if plain { held.index } else { u64::MAX },
                sent,
                proved,
                age_ms: None,
            }),
        }
    }

    /// A node accepted a token of this key, by its view at `view`.
    pub(super) async fn vouched(&self, node: &Arc<Node>, kid: &KeyId, view: u64, sent: u64) {
        if !self.ledger.knows(kid) {
            // A node that is cut off can't say it afresh; another one knows no less.
            let mut asked = self.read_keys(node).await;
            for other in self.lab.running().iter().filter(|other| other.number != node.number) {
                if asked.is_none() {
                    asked = self.read_keys(other).await;
                }
            }
            if asked.is_none() {
                self.judge.count("acceptance not judged");
                return;
            }
        }
        let (node, kid) = (node.number, kid.clone());
        self.judge.tell(&Event::Vouched { node, kid, view, sent, age_ms: None });
    }

    /// An administrator publishes a key, which signs by itself once every node has it.
    pub(super) async fn publish_key(&self, node: &Arc<Node>) {
        let body = json!({ "overlap": self.dice.between(0, 1) });
        let path = KEYS.to_owned();
        self.turn(node, "key published", Method::POST, path, Some(&body)).await;
    }

    /// An administrator gives up a key before it signs: at once after it was published, or whichever there is.
    pub(super) async fn give_up_key(&self, node: &Arc<Node>) {
        if self.dice.percent(70) {
            let path = KEYS.to_owned();
            self.turn(node, "key published", Method::POST, path, Some(&json!({ "overlap": 5 }))).await;
        }
        self.turn(node, "key given up", Method::DELETE, format!("{KEYS}/next"), None).await;
    }

    /// An administrator finds that a key has leaked: nothing that it signed counts from now on.
    pub(super) async fn taint_key(self: &Arc<Self>, node: &Arc<Node>) {
        let Some(kid) = self.usable_key(node).await else { return };
        self.touched.leaking(&kid);
        let sent = self.judge.now();
        let path = format!("{KEYS}/{}/taint", kid.as_str());
        let decided = self.turn(node, "key tainted", Method::POST, path, None).await;
        if matches!(decided, Decided::Refused) {
            self.touched.not_leaked(&kid);
        }
        if let Decided::Done(index) = decided {
            self.touched.out_of_use(&kid, self.judge.now());
            self.tell_abroad(&Event::TaintedAbroad { kid: kid.clone() });
            self.ledger.tell(&self.judge, node.number, &kid, Standing::Tainted);
            self.set_mark(Mark { whom: Whom::Key(kid.clone()), below: u64::MAX, index, sent, ends: false });
            for other in self.lab.running() {
                drop(self.read_keys(&other).await);
            }
            let held = self.held().clone();
            for leaked in held.iter().rev().filter(|held| held.kid == kid).take(SHOWN_MAX) {
                for other in self.lab.running() {
                    self.judge_by(&other, leaked).await;
                }
                drop(tokio::spawn(Arc::clone(self).hunt(leaked.clone())));
            }
        }
        self.admin_is_out();
    }

    /// Some key of ours that signs, signed, or will; rather the one that signs.
    pub(super) async fn usable_key(&self, node: &Arc<Node>) -> Option<KeyId> {
        let keys = self.read_keys(node).await?;
        let usable: Vec<_> = keys.into_iter().filter(|(_, standing)| is_usable(*standing)).collect();
        let active = usable.iter().find(|(_, standing)| *standing == Standing::Active);
        let kid = if self.dice.percent(50) { active } else { self.dice.pick(&usable) };
        kid.map(|(kid, _)| kid.clone())
    }

    async fn turn(
        &self,
        node: &Arc<Node>,
        what: &'static str,
        method: Method,
        path: String,
        body: Option<&serde_json::Value>,
    ) -> Decided {
        let admin = self.admin();
        let write = Write { method, path, shown: Shown::Token(&admin.text), body, idempotency_key: None };
        match self.write(node, what, self.hollowed(write), &[404, 409]).await {
            Reply::Done(answer, index) => {
                let kid = answer.text("kid").and_then(|kid| KeyId::parse(kid).ok());
                let state = answer.text("state").and_then(standing);
                if let (Some(kid), Some(state)) = (kid, state) {
                    self.ledger.tell(&self.judge, node.number, &kid, state);
                }
                Decided::Done(index)
            }
            Reply::Refused(_) => Decided::Refused,
            Reply::Unknown => Decided::Unknown,
        }
    }
}
