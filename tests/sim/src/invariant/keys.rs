//! No node signs or accepts with a key after it applied the key's taint or retirement, and none signs with a key before
//! it applied its activation.

use std::collections::BTreeMap;

use circlet_raft::NodeId;
use circlet_token::KeyId;

use super::Invariant;
use crate::history::{Event, Standing};

#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By node and key: at which index it took its standing, when that was applied, and which.
    standings: BTreeMap<(NodeId, KeyId), (u64, u64, Standing)>,
}

/// Whether a token of a key that stands so may be accepted no more.
fn is_over(standing: Standing) -> bool {
    matches!(standing, Standing::Tainted | Standing::Retired | Standing::Distrusted)
}

impl Keys {
    fn standing(&self, node: NodeId, kid: &KeyId) -> Option<(u64, u64, Standing)> {
        self.standings.get(&(node, kid.clone())).copied()
    }
}

impl Invariant for Keys {
    fn name(&self) -> &'static str {
        "keys"
    }

    fn see(&mut self, now: u64, event: &Event) -> Result<(), String> {
        match event {
            Event::Key { node, index, kid, standing } => {
                let known = self.standings.entry((*node, kid.clone())).or_insert((*index, now, *standing));
                // A node that starts again goes through what it knew once more.
                if known.0 < *index {
                    *known = (*index, now, *standing);
                }
                Ok(())
            }
            Event::Signed { node, kid, plain, .. } => match self.standing(*node, kid) {
                Some((_, _, Standing::Active)) => Ok(()),
                None => Err(format!("node {node} signed with key {kid}, which it has never had")),
                Some((_, _, Standing::Retiring)) if !plain => Ok(()),
                Some((_, _, standing)) => {
                    Err(format!("node {node} signed with key {kid}, which is {standing:?}"))
                }
            },
            // Whoever had asked before is told what the view says that it is judged by.
            Event::Vouched { node, kid, view, sent, .. } => match self.standing(*node, kid) {
                Some((index, at, standing)) if is_over(standing) && (*sent > at || *view >= index) => {
                    Err(format!(
                        "node {node} accepted a token of key {kid} by its view at {view}, though it was {standing:?} there at {index}"
                    ))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
