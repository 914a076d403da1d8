//! The configuration, changed while everything else goes on.

use std::sync::Arc;

use circlet_sim::linear::{Object, Step, version};
use reqwest::Method;
use serde_json::json;

use super::{Reply, Workload, Write};
use crate::client::Shown;
use crate::lab::Node;

const CONFIG: &str = "/circlet/v1/config";

impl Workload {
    /// An administrator changes a setting, on top of what was read.
    pub(super) async fn change_setting(&self, node: &Arc<Node>) {
        let Some(read) = self.read_settings(node).await else { return };
        let (name, low, high) = match self.dice.between(0, 3) {
            0 => ("token.refresh-replay-window", 30, 60),
            1 => ("key.overlap", 0, 2),
            2 => ("token.last-used-interval", 0, 900),
            _ => ("limits.description-bytes-max", 100, 1_000),
        };
        // Something else than is there, so that it is a change.
        let before = read.body["settings"][name].as_u64().unwrap_or(low);
        let value = self.dice.between(low, high - 1);
        let value = if value >= before { value + 1 } else { value };
        let Some(expected) = read.body["version"].as_u64() else { return };
        let body = json!({ name: value, "if_version": expected });
        let admin = self.admin();
        let write = Write {
            method: Method::PATCH,
            path: CONFIG.to_owned(),
            shown: Shown::Token(&admin.text),
            body: Some(&body),
            idempotency_key: None,
        };
        let sent = self.judge.now();
        let expected = Some(expected);
        let step = match self.write(node, "setting changed", write, &[409]).await {
            Reply::Done(..) => {
                version::Step::Set { expected, version: expected.map_or(0, |version| version + 1) }
            }
            Reply::Unknown => {
                let step = Step::Version(version::Step::MaybeSet { expected });
                return self.record(Object::Configuration, step, sent, None);
            }
            Reply::Refused(answer) => match answer.text("message").and_then(version_in) {
                Some(current) if answer.status == 409 => version::Step::Changed { current },
                _ => return,
            },
        };
        self.record_now(Object::Configuration, Step::Version(step), sent);
    }

    /// Asks a node on a fresh view for the configuration.
    pub(super) async fn read_settings(&self, node: &Arc<Node>) -> Option<crate::client::Answer> {
        let sent = self.judge.now();
        let answer = self.read(node, &format!("{CONFIG}?consistency=strong")).await?;
        let version = answer.body["version"].as_u64()?;
        let read = version::Step::Read { version };
        self.record_now(Object::Configuration, Step::Version(read), sent);
        Some(answer)
    }
}

/// The version that is there, as a refused change is told.
fn version_in(message: &str) -> Option<u64> {
    let rest = message.strip_prefix("the configuration is at version ")?;
    rest.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_read_from_what_a_refused_change_is_told() {
        let told = "the configuration is at version 12, not 11; read it again and repeat the change";
        assert_eq!(version_in(told), Some(12));
        assert_eq!(version_in("the configuration is at peace"), None);
    }
}
