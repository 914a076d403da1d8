//! What clients had of a cluster that is lost: they come with all of it to the one that begins in its place.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_sim::history::Event;
use circlet_token::TokenId;
use reqwest::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::plain::PLAIN_SECS;
use super::{Held, TOKENS, Workload, lock};
use crate::client::Shown;
use crate::lab::Node;

/// So many tokens are shown to each node at most, the newest.
const SHOWN_MAX: usize = 2_000;

/// With so many something is asked for at each node, the newest.
const USED_MAX: usize = 40;

/// So many are shown at a time.
const AT_ONCE: usize = 4;

/// Between two tokens that are shown to somebody who should not be there.
const REST: Duration = Duration::from_millis(50);

/// Where a backup is tried so often, something is wrong with it.
const ATTEMPTS_MAX: usize = 50;

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(300);

/// What opens the backups; clients have it.
const PASSPHRASE: &str = "a passphrase that is long enough";

/// All that clients had.
pub(crate) struct Past {
    held: Vec<Held>,
    foreign: Vec<(TokenId, String)>,
}

impl Past {
    /// The tokens, the newest first.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Held> {
        self.held.iter()
    }
}

impl Workload {
    /// An administrator makes a backup, which is kept in the place of the one before; whether that could be done.
    pub(crate) async fn back_up(&self, node: &Node) -> bool {
        self.judge.count("backup");
        let file = self.lab.folder.join(format!("backup-{:016x}", self.dice.word())).display().to_string();
        let passphrase = self.lab.folder.join("passphrase");
        if let Err(error) = std::fs::write(&passphrase, PASSPHRASE) {
            self.judge.accuse("lab", format!("{}: {error}", passphrase.display()));
        }
        let passphrase = passphrase.display().to_string();
        // A node that is cut off has no fresh view to back up, and the administrator's token may have ended.
        let made = self.lab.run(&["backup", &node.number.to_string(), &file, &passphrase]).await;
        if made.is_ok() {
            self.judge.count("backup made");
            *lock(&self.backup) = Some((file, passphrase));
        }
        made.is_ok()
    }

    /// The newest backup and the file with its passphrase; if there is none, one that is made now.
    pub(crate) async fn some_backup(&self) -> Result<(String, String), String> {
        for node in self.lab.nodes().iter().cycle().take(ATTEMPTS_MAX) {
            if let Some(kept) = lock(&self.backup).clone() {
                return Ok(kept);
            }
            if !self.back_up(node).await {
                tokio::time::sleep(RETRY).await;
            }
        }
        Err("no backup could be made".to_owned())
    }

    /// The cluster is over, and judged; what its clients had.
    pub(crate) fn end(&self) -> Past {
        self.record_rest();
        self.is_past.store(true, Ordering::SeqCst);
        let newest = self.held().iter().rev().take(SHOWN_MAX).cloned().collect();
        Past { held: newest, foreign: self.foreign_shown() }
    }

    /// The highest index of which a client knows.
    pub(crate) fn newest_index(&self) -> u64 {
        let of_tokens = self.held().iter().map(|held| held.index).max().unwrap_or_default();
        of_tokens.max(self.acknowledged.load(Ordering::SeqCst))
    }

    /// Shows all of the past to a node, and asks for more with it.
    pub(crate) async fn show_past(self: &Arc<Self>, node: &Arc<Node>, past: &Past) {
        let mut shown = JoinSet::new();
        for part in past.held.chunks(past.held.len().div_ceil(AT_ONCE).max(1)) {
            let (this, node, some) = (Arc::clone(self), Arc::clone(node), part.to_vec());
            shown.spawn(async move {
                for held in &some {
                    this.show_of_before(&node, held).await;
                }
            });
        }
        while shown.join_next().await.is_some() {}
        for (id, text) in &past.foreign {
            if let Some(answer) = self.show(node, text).await {
                self.judge.count("foreign token of before shown");
                let accepted = answer.status == 200;
                self.judge.tell(&Event::Shown { node: node.number, id: *id, own: false, accepted });
            }
        }
        for held in past.held.iter().take(USED_MAX) {
            self.ask_with_past(node, held).await;
            self.refresh_past(node, held).await;
        }
    }

    /// Shows the past to a node until nobody waits for that any more.
    pub(crate) async fn show_again_and_again(&self, node: &Arc<Node>, past: &Past) {
        loop {
            for held in &past.held {
                self.show_of_before(node, held).await;
                tokio::time::sleep(REST).await;
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn show_of_before(&self, node: &Arc<Node>, held: &Held) {
        let sent = self.judge.now();
        let Some(answer) = self.show(node, &held.text).await else { return };
        let accepted = answer.status == 200;
        if accepted || answer.status == 401 {
            self.judge.count("token of before shown");
            let view = if accepted { answer.body["index"].as_u64().unwrap_or(0) } else { u64::MAX };
            self.tell_verified(node, held, view, sent, (accepted, true));
        }
    }

    /// Whoever has a token of before asks for another with it.
    async fn ask_with_past(&self, node: &Node, held: &Held) {
        let order = json!({
            "username": held.user, "scope": "applied-permissions/user", "expires_in": PLAIN_SECS,
        });
        let url = format!("{}{TOKENS}", node.url);
        let answer = self.client.send(Method::POST, url, Shown::Token(&held.text), Some(&order)).await;
        let Some(answer) = answer else { return };
        self.judge.count("asked with a token of before");
        if let Some(new) = Held::of(&answer, self.judge.now()) {
            let (id, by, index, sum) = (new.id, Some(held.id), new.index, new.sum());
            self.judge.tell(&Event::Issued { id, by, index, sum });
        }
    }

    /// Whoever has a refresh token of before uses it.
    async fn refresh_past(&self, node: &Node, held: &Held) {
        let Some((family, sequence, refresh)) = held.refresh.clone() else { return };
        let body = json!({
            "grant_type": "refresh_token", "refresh_token": &*refresh, "access_token": &*held.text,
        });
        let sent = self.judge.now();
        let url = format!("{}{TOKENS}", node.url);
        let Some(answer) = self.client.send(Method::POST, url, Shown::Nothing, Some(&body)).await else {
            return;
        };
        self.judge.count("refresh token of before used");
        if let Some(new) = Held::of(&answer, self.judge.now()) {
            let (successor, sum, index, from) = (new.id, new.sum(), new.index, Arc::clone(&new.facts));
            self.judge.tell(&Event::Refreshed { family, sequence, successor, sum, index, sent, from });
        }
    }

    /// Whether a node that began a generation says that this one knows it was given up.
    pub(crate) async fn knows_of_giving_up(&self, founder: &Node, name: &str) -> bool {
        let Some(status) = self.read(founder, "/circlet/v1/cluster/status").await else { return false };
        let given_up = status.body["given_up"].as_array().map(Vec::as_slice).unwrap_or_default();
        given_up.iter().any(|node| node["name"] == name && node["told_at"].is_string())
    }

    /// Has a node removed, if there is one of this name; whether there is none any more.
    pub(crate) async fn remove(&self, name: &str) -> bool {
        let Some(through) = self.dice.pick(&self.lab.running()).cloned() else { return false };
        let url = format!("{}/circlet/v1/cluster/nodes/{name}", through.url);
        let admin = self.admin();
        let answer = self.client.send(Method::DELETE, url, Shown::Token(&admin.text), None).await;
        answer.is_some_and(|answer| matches!(answer.status, 204 | 404))
    }
}
