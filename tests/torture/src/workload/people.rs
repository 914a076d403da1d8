//! Users come and go; the end of one is a watermark under everything of that name.

use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_token::TokenId;
use reqwest::Method;
use serde_json::json;

use super::issuing::PLAIN_USER;
use super::{Reply, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

const USERS: &str = "/access/api/v2/users";

impl Workload {
    /// Creates a user; whether the cluster says that there is one now.
    pub(crate) async fn add_user(&self, node: &Arc<Node>, user: &str) -> bool {
        let body = json!({
            "username": user, "email": format!("{user}@example.org"), "password": "correct-horse-battery-9",
        });
        let write = Write {
            method: Method::POST,
            path: USERS.to_owned(),
            shown: Shown::Token(&self.admin),
            body: Some(&body),
            idempotency_key: None,
        };
        // Another client may remove the user before this one is told of it.
        !matches!(self.write(node, "add user", write, &[404, 409]).await, Reply::Unknown)
    }

    /// An administrator removes a user, and with it everything that was issued to it; then makes it anew.
    pub(super) async fn remove_user(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        if held.user == PLAIN_USER {
            return;
        }
        self.touched.removing(&held.user);
        let of_user: Vec<TokenId> =
            self.held().iter().filter(|known| known.subject == held.subject).map(|known| known.id).collect();
        self.touched.tokens(of_user);
        let write = Write {
            method: Method::DELETE,
            path: format!("{USERS}/{}", held.user),
            shown: Shown::Token(&self.admin),
            body: None,
            idempotency_key: None,
        };
        let reply = self.write(node, "remove user", write, &[404]).await;
        if let Reply::Done(_, index) = reply {
            self.judge.tell(&Event::Watermark { subject: held.subject, index });
        }
        self.touched.removed(&held.user, !matches!(reply, Reply::Unknown), self.judge.now());
        let mut through = Arc::clone(node);
        while !self.add_user(&through, &held.user).await && !self.is_over() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            through = self.another(&through).unwrap_or(through);
        }
    }
}
