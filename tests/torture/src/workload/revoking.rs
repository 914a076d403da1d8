//! Revoking, by id and by value, at times with all that was created with it.

use std::sync::Arc;

use circlet_sim::history::Event;
use circlet_sim::linear::token::Step;
use circlet_token::TokenId;
use reqwest::Method;
use serde_json::{Value, json};

use super::marks::{Decided, Whom};
use super::{Reply, TOKENS, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

impl Workload {
    /// An administrator revokes a token by its id, by its value, or by its refresh token's value.
    pub(crate) async fn revoke(self: &Arc<Self>, node: &Arc<Node>) {
        // What the log doesn't know, and nobody can revoke, ends by marks alone.
        let Some(held) = self.some_token().filter(|held| !held.is_plain) else { return };
        let family = held.refresh.as_ref().map(|(family, ..)| *family);
        self.touched.tokens([held.id]);
        if let Some(family) = family {
            self.touched.family(family);
        }
        let cascades = self.dice.percent(20);
        if cascades {
            self.touched.descendants(held.object());
        }
        let (what, mut path, mut body, is_access): (_, _, Option<Value>, bool) =
            match (&held.refresh, self.dice.between(0, 9)) {
                (Some((.., refresh)), 0..=2) => (
                    "revoke by refresh token",
                    format!("{TOKENS}/revoke"),
                    Some(json!({"token": &**refresh})),
                    false,
                ),
                (_, 3..=5) => {
                    ("revoke by value", format!("{TOKENS}/revoke"), Some(json!({"token": &*held.text})), true)
                }
                _ => ("revoke by id", format!("{TOKENS}/{}", held.id), None, true),
            };
        if cascades {
            self.judge.count("revoke with descendants");
            match &mut body {
                Some(body) => body["cascade"] = true.into(),
                None => path.push_str("?cascade=true"),
            }
        }
        let admin = self.admin();
        let write = Write {
            method: Method::DELETE,
            path,
            shown: Shown::Token(&admin.text),
            body: body.as_ref(),
            idempotency_key: None,
        };
        let sent = self.judge.now();
        // What can't be revoked is refused; what nobody knows any more is not found.
        let (answer, index) = match self.write(node, what, write, &[400, 404, 409]).await {
            Reply::Done(answer, index) => (answer, index),
            Reply::Unknown => {
                if cascades {
                    self.keep_mark(Whom::Descendants(held.object()), &Decided::Unknown, sent);
                }
                return self.record_token(&held, Step::MaybeEnd, sent, false);
            }
            Reply::Refused(_) => return,
        };
        self.record_token(&held, Step::End, sent, true);
        if cascades {
            let decided = Decided::Done(index);
            self.keep_mark(Whom::Descendants(held.object()), &decided, sent);
            self.hunt_refused(&decided);
        }
        self.judge.tell(&Event::Revoked { id: None, family, index });
        let named = answer.text("revoked_token_id").and_then(|text| TokenId::parse(text).ok());
        for id in named.into_iter().chain(is_access.then_some(held.id)) {
            self.note_end(id, index);
        }
        if is_access && self.dice.percent(35) {
            drop(tokio::spawn(Arc::clone(self).hunt(held)));
        }
    }
}
