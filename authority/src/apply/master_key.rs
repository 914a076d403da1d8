//! Another master key: announced, held by every node, and only then what the secrets are sealed under.
//!
//! Until the switch nothing but the announcement's own record changes, so a turn can be given up at any point before. The
//! switch is one entry: at no index is one secret sealed under one key and another under the other.

use std::{collections::BTreeMap, collections::BTreeSet, sync::Arc};

use super::Applied;
use crate::{
    command::TurnMasterKey,
    limits::FORMER_MASTER_KEYS_MAX,
    outcome::Outcome,
    record::{FormerSecrets, Key, NextMasterKey, NodeRole, Resealed, Sealed, SealedKind},
    refusal::Refusal,
    state::{Cluster, State},
};

impl State {
    pub(super) fn turn_master_key(&mut self, turn: &TurnMasterKey) -> Applied {
        match turn {
            TurnMasterKey::Announce { fingerprint, replaces, node, patience_secs } => {
                self.announce_master_key(*fingerprint, replaces, *node, *patience_secs)
            }
            TurnMasterKey::Hold { fingerprint, node } => self.hold_master_key(fingerprint, *node),
            TurnMasterKey::Reseal { fingerprint, secrets } => self.reseal(fingerprint, secrets),
            TurnMasterKey::Switch { fingerprint } => self.switch_master_key(fingerprint),
        }
    }

    /// Whoever sealed something may not have heard of a switch that came before it in the log.
    pub(super) fn check_sealed(&self, sealed: &Sealed) -> Result<(), Refusal> {
        let present = self.master_key_fingerprint();
        if present == Some(sealed.under) { Ok(()) } else { Err(Refusal::SealedUnderAnother) }
    }

    fn announce_master_key(
        &mut self,
        fingerprint: [u8; 32],
        replaces: &[u8; 32],
        node: u64,
        patience_secs: u64,
    ) -> Applied {
        let present = self.master_key_fingerprint().ok_or(Refusal::NotBootstrapped)?;
        if present == fingerprint {
            return Ok(Outcome::Done);
        }
        if present != *replaces {
            return Err(Refusal::MasterKeyReplaced);
        }
        if self.is_former_master_key(&fingerprint) {
            return Err(Refusal::Taken { what: "the master key".to_owned() });
        }
        if let Some(next) = self.next_master_key() {
            if next.fingerprint == fingerprint {
                return Ok(Outcome::Done);
            }
            if !self.is_master_key_given_up(next, self.now_ms) {
                return Err(Refusal::MasterKeyUnderWay);
            }
        }
        self.next_master_key = Some(Arc::new(NextMasterKey {
            fingerprint,
            since_index: self.index,
            since_ms: self.now_ms,
            patience_secs,
            holders: BTreeSet::from([node]),
            secrets: BTreeMap::new(),
        }));
        Ok(Outcome::Done)
    }

    fn hold_master_key(&mut self, fingerprint: &[u8; 32], node: u64) -> Applied {
        if self.master_key_fingerprint() == Some(*fingerprint) {
            return Ok(Outcome::Done);
        }
        let next = self.on_its_way(fingerprint)?;
        let is_member = self.nodes.get(&node).is_some_and(|known| known.role != NodeRole::Admitted);
        if is_member {
            let mut next = next.clone();
            next.holders.insert(node);
            self.next_master_key = Some(Arc::new(next));
        }
        Ok(Outcome::Done)
    }

    fn reseal(&mut self, fingerprint: &[u8; 32], secrets: &[(SealedKind, Resealed)]) -> Applied {
        let mut next = self.on_its_way(fingerprint)?.clone();
        self.check_held(&next)?;
        for (which, resealed) in secrets {
            if resealed.sealed.under != *fingerprint {
                return Err(Refusal::SealedUnderAnother);
            }
            // Another secret may stand there by now; that one is resealed by the next command.
            if self.sealed(which).is_some_and(|sealed| sealed.nonce == resealed.replaces) {
                next.secrets.insert(which.clone(), resealed.clone());
            }
        }
        self.next_master_key = Some(Arc::new(next));
        Ok(Outcome::Done)
    }

    fn switch_master_key(&mut self, fingerprint: &[u8; 32]) -> Applied {
        let present = self.cluster.as_ref().ok_or(Refusal::NotBootstrapped)?.clone();
        if present.master_key_fingerprint == *fingerprint {
            return Ok(Outcome::Done);
        }
        let next = self.on_its_way(fingerprint)?.clone();
        self.check_held(&next)?;
        let left = self.not_resealed().len();
        if left > 0 {
            return Err(Refusal::MasterKeyNotReady {
                why: format!("secrets that are not sealed under it: {left}"),
            });
        }
        let mut cluster = Cluster { master_key_fingerprint: *fingerprint, ..present.as_ref().clone() };
        for (which, Resealed { sealed, .. }) in next.secrets {
            match which {
                SealedKind::TokenKey(kid) => self.reseal_key(&kid, sealed),
                SealedKind::ClusterCa => cluster.ca.private_key = sealed,
                SealedKind::RefreshSecret => cluster.refresh_secret = sealed,
                SealedKind::CircleKey => self.reseal_circle_key(sealed),
            }
        }
        self.cluster = Some(Arc::new(cluster));
        self.next_master_key = None;
        let mut former: FormerSecrets = self.former_secrets.as_ref().clone();
        former.master_keys.push(present.master_key_fingerprint);
        let over = former.master_keys.len().saturating_sub(FORMER_MASTER_KEYS_MAX);
        former.master_keys.drain(..over);
        self.former_secrets = Arc::new(former);
        Ok(Outcome::Done)
    }

    /// A key that retired meanwhile has no private half any more, and is given none.
    fn reseal_key(&mut self, kid: &circlet_token::KeyId, sealed: Sealed) {
        if let Some(key) = self.keyring.get(kid).filter(|key| key.private_key.is_some()).cloned() {
            let key = Key { private_key: Some(sealed), ..key.as_ref().clone() };
            self.keyring.insert(kid.clone(), Arc::new(key));
        }
    }

    fn reseal_circle_key(&mut self, sealed: Sealed) {
        if let Some(key) = self.circle_key.as_deref() {
            let mut key = key.clone();
            key.private_key = sealed;
            self.circle_key = Some(Arc::new(key));
        }
    }

    fn on_its_way(&self, fingerprint: &[u8; 32]) -> Result<&NextMasterKey, Refusal> {
        let next = self.next_master_key().filter(|next| next.fingerprint == *fingerprint);
        next.ok_or(Refusal::MasterKeyUnknown)
    }

    fn check_held(&self, next: &NextMasterKey) -> Result<(), Refusal> {
        match self.master_key_waits(next, self.now_ms) {
            Some(why) => Err(Refusal::MasterKeyNotReady { why }),
            None => Ok(()),
        }
    }
}
