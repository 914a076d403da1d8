//! Nodes whose disk somebody may have: what they knew is replaced, at first the master key, then all the rest at once.

use std::sync::Arc;

use circlet_token::{KeyId, feed::FeedEntry};
use imbl::OrdMap;

use super::{Applied, keys::wrong_state};
use crate::{
    command::{DeclareLost, ReplaceSecrets},
    limits::LOST_NODES_MAX,
    outcome::Outcome,
    record::{FormerSecrets, KeyState, LostNode},
    refusal::Refusal,
    state::{Cluster, State},
};

impl State {
    pub(super) fn declare_lost(&mut self, declare: &DeclareLost) -> Applied {
        let id = declare.node;
        if self.nodes.contains_key(&id) {
            return Err(Refusal::NodeNotRemoved { node: id });
        }
        if self.lost_nodes.contains_key(&id) {
            return Ok(Outcome::Done);
        }
        let Some(removed) = self.removed_nodes.get(&id).cloned() else {
            return Ok(Outcome::NotFound { what: format!("removed node {id}") });
        };
        let master_key = self.master_key_fingerprint().ok_or(Refusal::NotBootstrapped)?;
        // It may have been given the one that was on its way.
        self.next_master_key = None;
        let name = removed.record.name.clone();
        let lost = LostNode { id, name, index: self.index, master_key, replaced: None };
        self.lost_nodes.insert(id, Arc::new(lost));
        self.forget_lost();
        Ok(Outcome::Done)
    }

    /// Forgets the oldest of those that are dealt with, if there are too many.
    fn forget_lost(&mut self) {
        while self.lost_nodes.len() > LOST_NODES_MAX {
            let over = self.lost_nodes.values().find(|lost| lost.replaced.is_some()).map(|lost| lost.id);
            let Some(over) = over else { return };
            self.lost_nodes.remove(&over);
        }
    }

    /// All at once, so that at no index one of them is new and another is not. No limit and no wait stands in the way.
    pub(super) fn replace_secrets(&mut self, replace: &ReplaceSecrets) -> Applied {
        let cluster = self.cluster.as_ref().ok_or(Refusal::NotBootstrapped)?.clone();
        let pending: Vec<Arc<LostNode>> = self.lost_nodes_pending().cloned().collect();
        if pending.is_empty() {
            return Ok(Outcome::Done);
        }
        if pending.iter().any(|lost| lost.master_key == cluster.master_key_fingerprint) {
            let why = "a lost node knew the present one".to_owned();
            return Err(Refusal::MasterKeyNotReady { why });
        }
        if cluster.ca.certificate_der != replace.ca_replaces {
            return Err(Refusal::CaReplaced);
        }
        for sealed in [&replace.ca.private_key, &replace.refresh_secret] {
            self.check_sealed(sealed)?;
        }
        let key = &replace.key;
        let known = self.keyring.get(&key.kid).or_else(|| self.twins(&key.spki_der).next());
        if let Some(known) = known {
            return Err(wrong_state(&known.kid, known.state, "a new key is needed"));
        }
        self.check_new(key)?;
        self.add_key(key, KeyState::Active, 0);
        self.revocations.tell(FeedEntry::KeyActive { key: key.kid.clone() });
        self.taint_all_but(&key.kid);
        self.cluster = Some(Arc::new(Cluster {
            ca: replace.ca.clone(),
            refresh_secret: replace.refresh_secret.clone(),
            ..cluster.as_ref().clone()
        }));
        let former = FormerSecrets { refresh_since: self.index, ..self.former_secrets.as_ref().clone() };
        self.former_secrets = Arc::new(former);
        // Their secrets were derived from the refresh secret: nobody can prove one any more.
        self.join_tokens = OrdMap::new();
        self.invites = OrdMap::new();
        for lost in pending {
            let lost = LostNode { replaced: Some(self.index), ..lost.as_ref().clone() };
            self.lost_nodes.insert(lost.id, Arc::new(lost));
        }
        self.keys_changed();
        Ok(Outcome::Done)
    }

    fn taint_all_but(&mut self, kept: &KeyId) {
        let known: Vec<KeyId> = self
            .keyring
            .values()
            .filter(|key| key.kid != *kept && Self::is_known_to_nodes(key.state))
            .map(|key| key.kid.clone())
            .collect();
        for kid in known {
            self.move_key(&kid, KeyState::Tainted);
            self.revocations.tell(FeedEntry::Tainted { key: kid });
        }
    }
}
