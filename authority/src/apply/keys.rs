//! The cluster's own signing keys: published, active, retiring, retired; or tainted.

use std::{collections::BTreeSet, sync::Arc};

use circlet_token::{
    KeyId,
    feed::{FEED_CERTIFICATE_BYTES_MAX, FeedEntry},
};

use super::{Applied, below_limit};
use crate::{
    command::{NewKey, RotateKey},
    config::unsigned,
    outcome::Outcome,
    record::{Key, KeyState},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn rotate_key(&mut self, rotate: &RotateKey) -> Applied {
        match rotate {
            RotateKey::Publish { key, replaces, overlap_secs } => {
                self.publish_key(key, replaces, *overlap_secs)
            }
            RotateKey::Activate { kid, replaces } => self.activate_key(kid, replaces),
            RotateKey::Taint { kid, next } => self.taint_key(kid, next.as_deref()),
            RotateKey::Confirm { kid, node } => self.confirm_key(kid, *node),
            RotateKey::Cancel { kid } => self.cancel_key(kid),
            RotateKey::Retire { kid, vouched } => self.retire_key(kid, *vouched),
        }
    }

    fn publish_key(&mut self, key: &NewKey, replaces: &KeyId, overlap_secs: Option<u64>) -> Applied {
        if let Some(known) = self.keyring.get(&key.kid) {
            // A retry, unless the key has moved on: a key that was ever in the keyring does not come back.
            return match known.state {
                KeyState::Published => Ok(Outcome::Done),
                state => Err(wrong_state(&key.kid, state, "it was published before")),
            };
        }
        self.check_new(key)?;
        self.check_replaced(replaces)?;
        if let Some(next) = self.next_key() {
            return Err(Refusal::RotationUnderWay { kid: next.kid.clone() });
        }
        below_limit(self.keyring.len(), "limits.keys-max", self.config.keys_max)?;
        let overlap_secs = overlap_secs.unwrap_or(unsigned(self.config.key_overlap));
        self.add_key(key, KeyState::Published, overlap_secs);
        self.keys_changed();
        Ok(Outcome::Done)
    }

    /// Whether a key that is not in the keyring may come into it.
    pub(super) fn check_new(&self, key: &NewKey) -> Result<(), Refusal> {
        self.check_sealed(&key.private_key)?;
        // Another certificate doesn't make a leaked key a new one.
        if let Some(known) = self.twins(&key.spki_der).find(|known| known.state == KeyState::Tainted) {
            return Err(wrong_state(
                &known.kid,
                known.state,
                "this is the same key under another certificate",
            ));
        }
        // Its tokens would count again, those that were revoked after the backup too.
        if let Some(known) = self.twins(&key.spki_der).find(|known| self.ended_before(known)) {
            return Err(wrong_state(
                &known.kid,
                known.state,
                "it ended with an earlier generation of this cluster",
            ));
        }
        let theirs =
            self.circle.values().find(|other| other.spki_der == key.spki_der || other.kid == key.kid);
        match theirs {
            Some(theirs) => {
                Err(Refusal::KeyOfAnotherIssuer { kid: key.kid.clone(), issuer: theirs.issuer.clone() })
            }
            None => Ok(()),
        }
    }

    fn check_replaced(&self, replaces: &KeyId) -> Result<(), Refusal> {
        if self.active.as_ref() == Some(replaces) {
            return Ok(());
        }
        Err(wrong_state(replaces, self.state_of(replaces)?, "another key has been activated meanwhile"))
    }

    fn confirm_key(&mut self, kid: &KeyId, node: u64) -> Applied {
        let Some(key) = self.keyring.get(kid).map(|key| key.as_ref().clone()) else {
            return Err(Refusal::KeyUnknown { kid: kid.clone() });
        };
        // A node that comes late has nothing to say about a key that has moved on.
        if key.state == KeyState::Published && self.nodes.contains_key(&node) {
            let mut confirmed = key.confirmed.clone();
            confirmed.insert(node);
            self.keyring.insert(kid.clone(), Arc::new(Key { confirmed, ..key }));
        }
        Ok(Outcome::Done)
    }

    fn activate_key(&mut self, kid: &KeyId, replaces: &KeyId) -> Applied {
        let state = self.state_of(kid)?;
        if state == KeyState::Active {
            return Ok(Outcome::Done);
        }
        let key = self.keyring.get(kid).filter(|key| key.state == KeyState::Published);
        let key = key.ok_or_else(|| wrong_state(kid, state, "only a published key can be activated"))?;
        self.check_replaced(replaces)?;
        if let Some(why) = self.key_waits(key, self.now_ms) {
            return Err(Refusal::KeyNotReady { kid: kid.clone(), why });
        }
        self.keep_plain_horizon();
        self.move_key(replaces, KeyState::Retiring);
        self.move_key(kid, KeyState::Active);
        self.revocations.tell(FeedEntry::KeyActive { key: kid.clone() });
        self.keys_changed();
        Ok(Outcome::Done)
    }

    fn cancel_key(&mut self, kid: &KeyId) -> Applied {
        match self.state_of(kid)? {
            KeyState::Published => {
                // One that was adopted has signed elsewhere, and what it has signed may have been imported.
                let recorded = self.signed_by(kid);
                if recorded > 0 {
                    let why = format!("{recorded} recorded tokens are signed with it");
                    return Err(Refusal::KeyNeeded { kid: kid.clone(), why });
                }
                self.move_key(kid, KeyState::Retired);
                self.revocations.tell(FeedEntry::KeyRetired { key: kid.clone() });
                self.keys_changed();
                Ok(Outcome::Done)
            }
            state => Err(wrong_state(kid, state, "only a key that has not signed yet can be given up")),
        }
    }

    fn retire_key(&mut self, kid: &KeyId, vouched: bool) -> Applied {
        let state = self.state_of(kid)?;
        if state == KeyState::Retired {
            return Ok(Outcome::Done);
        }
        let key = self.keyring.get(kid).filter(|key| key.state == KeyState::Retiring);
        let key = key.ok_or_else(|| wrong_state(kid, state, "only a key that was replaced can retire"))?;
        if let Some(why) = self.key_is_needed(key, self.now_ms, vouched) {
            return Err(Refusal::KeyNeeded { kid: kid.clone(), why });
        }
        self.move_key(kid, KeyState::Retired);
        self.revocations.tell(FeedEntry::KeyRetired { key: kid.clone() });
        self.keys_changed();
        Ok(Outcome::Done)
    }

    /// Taints the key under each of its certificates. No limit and no wait stands in the way of that.
    fn taint_key(&mut self, kid: &KeyId, next: Option<&NewKey>) -> Applied {
        let state = self.state_of(kid)?;
        if state == KeyState::Tainted {
            return Ok(Outcome::Done);
        }
        if state == KeyState::Retired {
            return Err(wrong_state(kid, state, "nothing that it signed is accepted any more"));
        }
        let spki = self.keyring.get(kid).map(|key| key.spki_der.clone()).unwrap_or_default();
        let leaked: BTreeSet<KeyId> = self
            .twins(&spki)
            .filter(|key| key.state != KeyState::Retired)
            .map(|key| key.kid.clone())
            .collect();
        let active = self.active.clone().filter(|active| leaked.contains(active));
        if let Some(active) = active {
            let successor = self.successor_of(&active, &leaked, next)?;
            self.move_key(&successor, KeyState::Active);
            self.revocations.tell(FeedEntry::KeyActive { key: successor });
        }
        for kid in &leaked {
            self.move_key(kid, KeyState::Tainted);
            self.revocations.tell(FeedEntry::Tainted { key: kid.clone() });
        }
        self.keys_changed();
        Ok(Outcome::Done)
    }

    /// What signs in the place of an active key that leaked: the published key, which some may know already, or the one
    /// that came with the command.
    fn successor_of(
        &mut self,
        active: &KeyId,
        leaked: &BTreeSet<KeyId>,
        next: Option<&NewKey>,
    ) -> Result<KeyId, Refusal> {
        if let Some(published) = self.next_key().filter(|key| !leaked.contains(&key.kid)) {
            return Ok(published.kid.clone());
        }
        let next = next.ok_or_else(|| {
            wrong_state(
                active,
                KeyState::Active,
                "name the key that signs in its place, or publish one first",
            )
        })?;
        if let Some(known) = self.keyring.get(&next.kid) {
            return Err(wrong_state(&next.kid, known.state, "it can't sign in place of a key that leaked"));
        }
        let same = self.twins(&next.spki_der).next().map(|known| known.kid.clone());
        if let Some(same) = same {
            return Err(wrong_state(
                &same,
                self.state_of(&same)?,
                "this is the same key under another certificate",
            ));
        }
        self.check_new(next)?;
        self.add_key(next, KeyState::Published, 0);
        Ok(next.kid.clone())
    }

    /// Adds a key, and tells members of it, as far as its certificate is not too large for that.
    pub(super) fn add_key(&mut self, key: &NewKey, state: KeyState, overlap_secs: u64) {
        let told = key.certificate_der.len() <= FEED_CERTIFICATE_BYTES_MAX;
        if told {
            self.revocations.tell(FeedEntry::KeyShown { certificate: key.certificate_der.clone() });
        }
        let key = Key {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            certificate_der: key.certificate_der.clone(),
            spki_der: key.spki_der.clone(),
            private_key: Some(key.private_key.clone()),
            origin: key.origin,
            state,
            since_index: self.index,
            since_ms: self.now_ms,
            overlap_secs,
            confirmed: BTreeSet::new(),
            plain_until: 0,
            told_at: if told { self.feed_end().sequence } else { 0 },
        };
        self.keyring.insert(key.kid.clone(), Arc::new(key));
    }

    /// The keys of the keyring with this public key: a renewed certificate is another id for the same key.
    pub(super) fn twins(&self, spki_der: &[u8]) -> impl Iterator<Item = &Arc<Key>> {
        self.keyring.values().filter(move |key| key.spki_der == spki_der)
    }

    fn state_of(&self, kid: &KeyId) -> Result<KeyState, Refusal> {
        self.keyring.get(kid).map(|key| key.state).ok_or_else(|| Refusal::KeyUnknown { kid: kid.clone() })
    }

    pub(super) fn move_key(&mut self, kid: &KeyId, state: KeyState) {
        if let Some(key) = self.keyring.get(kid).cloned() {
            let mut key =
                Key { state, since_index: self.index, since_ms: self.now_ms, ..key.as_ref().clone() };
            if matches!(state, KeyState::Retired | KeyState::Tainted) {
                key.private_key = None;
            }
            self.keyring.insert(kid.clone(), Arc::new(key));
        }
    }
}

pub(super) fn wrong_state(kid: &KeyId, state: KeyState, why: &str) -> Refusal {
    Refusal::KeyState { kid: kid.clone(), state: state.as_str().to_owned(), why: why.to_owned() }
}
