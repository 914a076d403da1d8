//! Who is let in, and for how long.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;

use crate::failure::{Dismissed, NotWelcome};
use crate::machine::{Machine, Removal};
use crate::replica::Replica;
use crate::snapshot_file::FileMachine;
use crate::types::NodeId;

/// How often open connections are held against what no change of the members tells.
const WELCOME_LOOK: Duration = Duration::from_secs(1);

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Whether a node that has proved a key is let in.
    pub fn welcomes(&self, id: NodeId, key: [u8; 32]) -> Result<(), NotWelcome> {
        // Asked of the view first: that is final, and Raft may not have told yet whom it has as members.
        if let Some(removal) = self.removal(id) {
            return Err(if removal.public_key == key {
                NotWelcome::Dismissed(Dismissed::Removed { index: removal.index })
            } else {
                NotWelcome::Stranger(format!("node {id} is not a member"))
            });
        }
        match self.key_of(id).map_err(NotWelcome::Stranger)? {
            recorded if recorded != key => {
                Err(NotWelcome::Stranger(format!("another key is recorded for node {id}")))
            }
            _ if self.acknowledged.is_set_back(id) => Err(NotWelcome::Dismissed(Dismissed::SetBack)),
            _ => Ok(()),
        }
    }

    /// The key that a node must prove to be let in, or why it isn't.
    fn key_of(&self, id: NodeId) -> Result<[u8; 32], String> {
        let known = self.known(id).or_else(|| self.introduced_by_others(id));
        Ok(known.ok_or_else(|| format!("node {id} is not a member"))?.public_key)
    }

    /// Resolves when a node that was let in would not be let in any more: at once where our view says that it was removed,
    /// and soon where it is known under another key or was set back.
    pub(super) async fn until_unwelcome(self: Arc<Self>, from: NodeId) {
        let first = self.key_of(from);
        let mut members = self.board.watch_members();
        while self.is_welcome_still(from, &first) {
            R::select2(members.changed(), R::sleep(WELCOME_LOOK)).await;
            members.see();
        }
        tracing::info!(from, "a connection is closed: its node is not welcome any more");
    }

    /// Whether a node that was let in under its first key would be let in again. Unless our view says that it was removed, we
    /// can't tell while we are no member ourselves.
    fn is_welcome_still(&self, from: NodeId, first: &Result<[u8; 32], String>) -> bool {
        if self.removal(from).is_some() || self.acknowledged.is_set_back(from) {
            return false;
        }
        let now = self.key_of(from);
        let another = matches!((first, &now), (Ok(first), Ok(now)) if first != now);
        self.peer(self.id).is_none() || now.is_ok() && !another
    }

    pub(super) fn removal(&self, id: NodeId) -> Option<Removal> {
        M::removed(&self.board.load().view, id)
    }
}
