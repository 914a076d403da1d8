//! What is wrong with a cluster, made by clients that the judge doesn't know of: that it forgets, and that it acknowledges
//! what it doesn't do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Deed, TOKENS, Workload, Write, lock};
use crate::client::Shown;
use crate::deck::Deck;
use crate::lab::Node;

/// What is asked for in the place of what is not done: an entry of the log that changes nothing.
static NOTHING: std::sync::LazyLock<Value> =
    std::sync::LazyLock::new(|| json!({ "key.rotation-interval": 0 }));

impl Workload {
    /// From now on it is acknowledged that keys are tainted, watermarks set, and the secrets of lost nodes replaced, and nothing
    /// comes of it; and nothing else is administered.
    pub(crate) fn hollow(&self) {
        self.is_hollow.store(true, Ordering::SeqCst);
        *lock(&self.administering) = Deck::of(&[Deed::TaintKey]);
    }

    /// Whether that is so.
    pub(crate) fn is_hollow(&self) -> bool {
        self.is_hollow.load(Ordering::SeqCst)
    }

    /// The request, or one that does nothing.
    pub(super) fn hollowed<'a>(&self, write: Write<'a>) -> Write<'a> {
        let ends = ["/taint", "/watermarks", "/lost"].iter().any(|end| write.path.ends_with(end));
        if !ends || !self.is_hollow() {
            return write;
        }
        let path = "/circlet/v1/config".to_owned();
        Write { method: Method::PATCH, path, body: Some(&NOTHING), ..write }
    }

    /// Somebody takes tokens from the cluster behind everybody's back, and makes it trust keys.
    pub(crate) async fn undermine(self: Arc<Self>) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let Some(node) = self.dice.pick(&self.lab.running()).cloned() else { continue };
            let trust = json!({ "certificate": self.strangers.untrusted.certificate, "name": "untrusted" });
            self.do_unseen(&node, Method::POST, "/circlet/v1/trust".to_owned(), Some(&trust)).await;
            if let Some(held) = self.some_token() {
                self.do_unseen(&node, Method::DELETE, format!("{TOKENS}/{}", held.id), None).await;
            }
        }
    }

    async fn do_unseen(&self, node: &Node, method: Method, path: String, body: Option<&Value>) {
        let admin = self.admin();
        let url = format!("{}{path}", node.url);
        drop(self.client.send(method, url, Shown::Token(&admin.text), body).await);
    }
}
