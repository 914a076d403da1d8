//! What clients do while a node hears everything late, and is about to be cut off: tokens that it knows are revoked behind its
//! back. It must not vouch for one of them for longer than the bound.

use std::sync::Arc;

use circlet_authority::IssueToken;
use circlet_raft::NodeId;
use circlet_token::Lifetime;

use super::{Held, Workload, administrator};
use crate::house::ADMINISTRATOR;
use crate::runtime::global_nanos;
use crate::scope::lock;

/// After so long a node that lags should know a token, in nanoseconds.
const HEARD_NANOS: u64 = 600_000_000;
/// So many tokens wait to be revoked at most.
const KEPT: usize = 12;

impl Workload {
    /// Revokes a token that was issued for that, through any other node than this one, or issues the next.
    pub(super) async fn revoke_behind(self: &Arc<Self>, laggard: NodeId) {
        let mut others = self.cluster.running();
        others.retain(|computer| computer.id != laggard);
        let Some(computer) = self.dice.pick(&others) else { return };
        match self.heard_of() {
            Some(held) => self.revoke_held(computer, held, false).await,
            None if lock(&self.doomed).len() < KEPT => {
                let order = self.order(ADMINISTRATOR, ADMINISTRATOR, Lifetime::from_secs(600));
                let order = IssueToken { family: None, force_revocable: true, ..order };
                let id = order.id;
                self.issue_by(computer, &administrator(), order, None, true).await;
                let issued = lock(&self.held).iter().rev().find(|held| held.record.id == id).cloned();
                lock(&self.doomed).extend(issued);
            }
            None => {}
        }
    }

    /// One of them that every node should know by now.
    fn heard_of(&self) -> Option<Held> {
        let mut doomed = lock(&self.doomed);
        let heard = |held: &Held| held.since + HEARD_NANOS < global_nanos();
        let place = doomed.iter().position(heard)?;
        Some(doomed.remove(place))
    }
}
