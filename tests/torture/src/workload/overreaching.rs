//! Users who are no administrators, and ask for more than they may.

use std::sync::Arc;

use circlet_sim::history::Event;
use reqwest::Method;
use serde_json::json;

use super::issuing::USERS;
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
            0 => (
                "a token of an administrator",
                Method::POST,
                TOKENS.to_owned(),
                json!({ "username": held.user, "scope": "applied-permissions/admin", "expires_in": 600 }),
            ),
            1 => (
                "a token of another user",
                Method::POST,
                TOKENS.to_owned(),
                json!({ "username": other, "scope": "applied-permissions/user", "expires_in": 600 }),
            ),
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
        let url = format!("{}{path}", node.url);
        let Some(answer) = self.client.send(method, url, Shown::Token(&held.text), body).await else {
            return;
        };
        let done = (200..300).contains(&answer.status);
        if done || matches!(answer.status, 400 | 401 | 403 | 404) {
            let index = answer.index.unwrap_or(0);
            self.judge.tell(&Event::Overreached { what, done, index });
        }
    }
}
