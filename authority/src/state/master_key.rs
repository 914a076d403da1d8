//! Which master key the secrets are sealed under, which shall be next, and what that waits for. Asked by apply, and by the
//! nodes, which drive it on.

use std::sync::Arc;

use super::State;
use crate::record::{KeyState, LostNode, NextMasterKey, NodeRole, RemovedNode, SealedKind};

impl State {
    /// The master key on its way.
    #[must_use]
    pub fn next_master_key(&self) -> Option<&NextMasterKey> {
        self.next_master_key.as_deref()
    }

    /// Whether a master key with this fingerprint was replaced by a later one, as far as that is remembered.
    #[must_use]
    pub fn is_former_master_key(&self, fingerprint: &[u8; 32]) -> bool {
        self.former_secrets.master_keys.contains(fingerprint)
    }

    /// The nodes that were declared lost, by id.
    pub fn lost_nodes(&self) -> impl Iterator<Item = &Arc<LostNode>> {
        self.lost_nodes.values()
    }

    /// A node that was declared lost.
    #[must_use]
    pub fn lost_node(&self, id: u64) -> Option<&Arc<LostNode>> {
        self.lost_nodes.get(&id)
    }

    /// The lost nodes of whose secrets some have not been replaced yet.
    pub fn lost_nodes_pending(&self) -> impl Iterator<Item = &Arc<LostNode>> {
        self.lost_nodes.values().filter(|lost| lost.replaced.is_none())
    }

    /// Nodes that were removed and are remembered, by id.
    #[must_use]
    pub fn removed_nodes(&self) -> impl DoubleEndedIterator<Item = &Arc<RemovedNode>> {
        self.removed_nodes.values()
    }

    /// Every secret that the state holds sealed.
    #[must_use]
    pub fn sealed_kinds(&self) -> Vec<SealedKind> {
        let keys = self.keyring.values().filter(|key| key.private_key.is_some());
        let mut kinds: Vec<SealedKind> = keys.map(|key| SealedKind::TokenKey(key.kid.clone())).collect();
        if self.cluster.is_some() {
            kinds.extend([SealedKind::ClusterCa, SealedKind::RefreshSecret]);
        }
        kinds.extend(self.circle_key.iter().map(|_| SealedKind::CircleKey));
        kinds
    }

    /// The secrets that are not sealed under the next master key yet.
    #[must_use]
    pub fn not_resealed(&self) -> Vec<SealedKind> {
        let Some(next) = self.next_master_key() else { return Vec::new() };
        let lacks = |which: &SealedKind| {
            let staged = next.secrets.get(which).map(|resealed| resealed.replaces);
            staged != self.sealed(which).map(|sealed| sealed.nonce)
        };
        self.sealed_kinds().into_iter().filter(lacks).collect()
    }

    /// The members that have not said yet that they hold the next master key.
    pub fn without_master_key<'a>(&'a self, next: &'a NextMasterKey) -> impl Iterator<Item = u64> + 'a {
        let members = self.nodes.values().filter(|node| node.role != NodeRole::Admitted);
        members.map(|node| node.record.id).filter(|id| !next.holders.contains(id))
    }

    /// Why nothing may be sealed under the next master key at `now_ms`, if nothing may: a member doesn't hold it yet. One
    /// that is silent is waited for no longer than the announcement said, and asks the others when it comes back; a
    /// majority of the voters holds it in any case, so that it can't be lost.
    #[must_use]
    pub fn master_key_waits(&self, next: &NextMasterKey, now_ms: u64) -> Option<String> {
        let missing: Vec<&str> = self
            .without_master_key(next)
            .filter_map(|id| self.nodes.get(&id).map(|node| node.record.name.as_str()))
            .collect();
        if missing.is_empty() {
            return None;
        }
        let names = missing.join(", ");
        if !self.most_voters_hold(next) {
            return Some(format!("it is on the disks of less than a majority; not on those of {names}"));
        }
        let age_secs = now_ms.saturating_sub(next.since_ms) / 1_000;
        let left = next.patience_secs.saturating_sub(age_secs);
        (left > 0).then(|| {
            format!("not yet on the disks of these nodes: {names}; they are waited for {left} s more")
        })
    }

    /// Whether nobody is left who has it, or too few had it in time: then another one may be announced.
    #[must_use]
    pub fn is_master_key_given_up(&self, next: &NextMasterKey, now_ms: u64) -> bool {
        let age_secs = now_ms.saturating_sub(next.since_ms) / 1_000;
        let held = next.holders.iter().any(|id| self.nodes.contains_key(id));
        !held || (age_secs >= next.patience_secs && !self.most_voters_hold(next))
    }

    pub(crate) fn most_voters_hold(&self, next: &NextMasterKey) -> bool {
        let voters = self.nodes.values().filter(|node| node.role == NodeRole::Voter);
        let (holding, others): (Vec<_>, Vec<_>) =
            voters.partition(|node| next.holders.contains(&node.record.id));
        holding.len() > others.len()
    }

    /// Whether a key verifies what a lost node could forge with it.
    pub(crate) fn is_known_to_nodes(state: KeyState) -> bool {
        matches!(state, KeyState::Published | KeyState::Active | KeyState::Retiring)
    }
}
