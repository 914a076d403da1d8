//! Users who are no administrators, and ask for more than they may.

use std::sync::Arc;

use circlet_sim::history::Event;
use reqwest::Method;
use serde_json::{Value, json};

use super::issuing::USERS;
use super::plain::PLAIN_SECS;
use super::{TOKENS, Workload};
use crate::client::Shown;
use crate::lab::Node;

impl Workload {
    /// A user asks for something that only administrators may have.
    pub(super) async fn overreach(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        let other = USERS.iter().find(|user| **user != held.user).copied().unwrap_or("alice");
        self.judge.count("overreach");
        let (what, method, path, body) = match self.dice.between(0, 6) {
            0..=1 => {
                let (what, order) = self.order_beyond(&held.user);
                (what, Method::POST, TOKENS.to_owned(), order)
            }
            2 => (
                "ending another user's tokens",
                Method::POST,
                "/circlet/v1/watermarks".to_owned(),
                json!({ "user": other }),
            ),
            3 => (
                "setting the configuration",
                Method::PATCH,
                "/circlet/v1/config".to_owned(),
                json!({ "key.overlap": 1 }),
            ),
            4 => ("tainting a key", Method::POST, "/circlet/v1/keys/active/taint".to_owned(), json!({})),
            5 => ("letting a node join", Method::POST, "/circlet/v1/cluster/tokens".to_owned(), json!({})),
            _ => (
                "removing a node",
                Method::DELETE,
                format!("/circlet/v1/cluster/nodes/node-{}", node.number),
                json!({}),
            ),
        };
        let body = Some(&body).filter(|_| method != Method::DELETE);
        self.reach(node, what, (method, path, body), Shown::Token(&held.text)).await;
    }

    /// Who gives a password, or shows a token of this user, asks for a token that is not for him and that the log would not
    /// know.
    pub(super) async fn overreach_plainly(&self, node: &Arc<Node>, user: &str, shown: Shown<'_>) {
        self.judge.count("overreach without the log");
        let (what, order) = self.order_beyond(user);
        self.reach(node, what, (Method::POST, TOKENS.to_owned(), Some(&order)), shown).await;
    }

    /// What a user who is no administrator may not have.
    fn order_beyond(&self, user: &str) -> (&'static str, Value) {
        let other = USERS.iter().find(|other| **other != user).copied().unwrap_or("alice");
        let (what, user, scope) = match self.dice.between(0, 2) {
            0 => ("a token of an administrator", user, "applied-permissions/admin"),
            1 => ("a token of another user", other, "applied-permissions/user"),
            _ => ("a token for a group of others", user, "applied-permissions/groups:nobodys"),
        };
        (what, json!({ "username": user, "scope": scope, "expires_in": PLAIN_SECS }))
    }

    async fn reach(
        &self,
        node: &Node,
        what: &'static str,
        (method, path, body): (Method, String, Option<&Value>),
        shown: Shown<'_>,
    ) {
        let url = format!("{}{path}", node.url);
        let Some(answer) = self.client.send(method, url, shown, body).await else { return };
        let done = (200..300).contains(&answer.status);
        if done || matches!(answer.status, 400 | 401 | 403 | 404) {
            let index = answer.index.unwrap_or(0);
            self.judge.tell(&Event::Overreached { what, done, index });
        }
    }
}
