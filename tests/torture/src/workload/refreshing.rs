//! Using refresh tokens, once or again.

use std::sync::Arc;

use circlet_sim::history::Event;
use reqwest::Method;
use serde_json::json;

use super::{ATTEMPTS, Held, Reply, TOKENS, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

impl Workload {
    /// Uses a refresh token, or repeats a use; with the same request through another node if nobody answers.
    pub(super) async fn refresh(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        let Some((family, sequence, refresh)) = held.refresh.clone() else { return };
        if !self.touched.first(held.id) {
            // Used before: if it counts as a theft, it ends the family.
            self.touched.family(family);
        }
        let before = self.touched.before_issue(&held.user, self.judge.now());
        let body = json!({
            "grant_type": "refresh_token", "refresh_token": &*refresh, "access_token": &*held.text,
        });
        let mut through = Arc::clone(node);
        for _ in 0..ATTEMPTS {
            let sent = self.judge.now();
            let path = TOKENS.to_owned();
            let write = Write {
                method: Method::POST,
                path,
                shown: Shown::Nothing,
                body: Some(&body),
                idempotency_key: None,
            };
            match self.write(&through, "refresh", write, &[400, 401, 403, 404]).await {
                Reply::Done(answer, index) => {
                    let Some(held) = Held::of(&answer) else {
                        self.judge.accuse("answers", "what was refreshed can't be read".to_owned());
                        return;
                    };
                    let (successor, sum) = (held.id, held.sum());
                    self.judge.tell(&Event::Refreshed { family, sequence, successor, sum, index, sent });
                    if !self.touched.spared(&held.user, before) {
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
}
