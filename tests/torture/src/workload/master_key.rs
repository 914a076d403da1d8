//! The master key, which takes the place of another while everything else goes on. Nodes that start again, and those that
//! join, must have the one that their state is sealed under: without it they serve nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use reqwest::Method;

use super::{Reply, Workload, Write, lock};
use crate::client::{Answer, Shown};
use crate::lab::Node;

const MASTER_KEY: &str = "/circlet/v1/cluster/master-key";

/// By fingerprint, since when a master key is known to be replaced, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Replaced(Mutex<BTreeMap<String, u64>>);

impl Replaced {
    /// One took the place of another, for who asked at `sent` and hears of it now. An error if it had been replaced itself
    /// before that.
    fn note(&self, fingerprint: &str, former: &str, sent: u64, now: u64) -> Result<(), String> {
        let mut replaced = lock(&self.0);
        replaced.entry(former.to_owned()).or_insert(now);
        match replaced.get(fingerprint) {
            Some(since) if *since <= sent => {
                Err(format!("master key {fingerprint} is back, in the place of {former}"))
            }
            _ => Ok(()),
        }
    }
}

impl Workload {
    /// An administrator has the master key turned over; whether that was done. It waits for nodes that are away, and goes on
    /// by itself when nobody waits for it any more.
    pub(crate) async fn turn_master_key(&self, node: &Arc<Node>) -> bool {
        let admin = self.admin();
        let write = Write {
            method: Method::POST,
            path: MASTER_KEY.to_owned(),
            shown: Shown::Token(&admin.text),
            body: None,
            idempotency_key: None,
        };
        // A node that can't write to its disk makes no key.
        let refusals: &[u16] = if node.condition().bad_disk { &[409, 500] } else { &[409] };
        let sent = self.judge.now();
        let Reply::Done(answer, _) = self.write(node, "master key turned", write, refusals).await else {
            return false;
        };
        self.note_master_key(&answer, sent);
        true
    }

    fn note_master_key(&self, answer: &Answer, sent: u64) {
        let (Some(fingerprint), Some(former)) = (answer.text("fingerprint"), answer.text("former")) else {
            return self.judge.accuse("answers", format!("no master key is named: {}", answer.body));
        };
        self.judge.count("master key replaced");
        if let Err(why) = self.replaced.note(fingerprint, former, sent, self.judge.now()) {
            self.judge.accuse("master-key", why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Replaced;

    #[test]
    fn a_master_key_that_was_replaced_is_never_back() {
        let replaced = Replaced::default();
        assert_eq!(replaced.note("two", "one", 1, 2), Ok(()));
        assert_eq!(replaced.note("three", "two", 3, 4), Ok(()));
        assert_eq!(replaced.note("two", "one", 3, 5), Ok(()), "asked before three was there");
        assert!(replaced.note("two", "three", 5, 6).is_err());
    }
}
