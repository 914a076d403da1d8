//! The cluster's own signing keys.

use std::sync::Arc;

use circlet_token::KeyId;

use super::Applied;
use crate::{
    command::RotateKey,
    outcome::Outcome,
    record::{Key, KeyState},
    refusal::Refusal,
    state::State,
};

impl State {
    pub(super) fn rotate_key(&mut self, rotate: &RotateKey) -> Applied {
        match rotate {
            RotateKey::Publish { kid, algorithm, certificate_der, spki_der, private_key } => self
                .publish_key(Key {
                    kid: kid.clone(),
                    algorithm: *algorithm,
                    certificate_der: certificate_der.clone(),
                    spki_der: spki_der.clone(),
                    private_key: private_key.clone(),
                    state: KeyState::Published,
                    since_index: self.index,
                }),
            RotateKey::Activate { kid, replaces } => self.activate_key(kid, replaces),
            RotateKey::Taint { kid } => self.taint_key(kid),
        }
    }

    fn publish_key(&mut self, key: Key) -> Applied {
        if let Some(known) = self.keyring.get(&key.kid) {
            // A retry, unless the key has moved on: a key that was ever in the keyring does not come back.
            return match known.state {
                KeyState::Published => Ok(Outcome::Done),
                state => Err(wrong_state(&key.kid, state, "it was published before")),
            };
        }
        // Another certificate doesn't make a leaked key a new one.
        if let Some(known) = self.twins(&key.spki_der).find(|known| known.state == KeyState::Tainted) {
            return Err(wrong_state(
                &known.kid,
                known.state,
                "this is the same key under another certificate",
            ));
        }
        let theirs =
            self.circle.values().find(|other| other.spki_der == key.spki_der || other.kid == key.kid);
        if let Some(theirs) = theirs {
            return Err(Refusal::KeyOfAnotherIssuer { kid: key.kid, issuer: theirs.issuer.clone() });
        }
        self.keyring.insert(key.kid.clone(), Arc::new(key));
        self.keys_changed();
        Ok(Outcome::Done)
    }

    fn activate_key(&mut self, kid: &KeyId, replaces: &KeyId) -> Applied {
        let state = self.state_of(kid)?;
        if state == KeyState::Active {
            return Ok(Outcome::Done);
        }
        if state != KeyState::Published {
            return Err(wrong_state(kid, state, "only a published key can be activated"));
        }
        if self.active.as_ref() != Some(replaces) {
            return Err(wrong_state(
                replaces,
                self.state_of(replaces)?,
                "another key has been activated meanwhile",
            ));
        }
        self.move_key(replaces, KeyState::Published);
        self.move_key(kid, KeyState::Active);
        self.keys_changed();
        Ok(Outcome::Done)
    }

    fn taint_key(&mut self, kid: &KeyId) -> Applied {
        match self.state_of(kid)? {
            KeyState::Tainted => Ok(Outcome::Done),
            KeyState::Active | KeyState::Published | KeyState::Retired => {
                let spki = self.keyring.get(kid).map(|key| key.spki_der.clone()).unwrap_or_default();
                if let Some(active) = self.twins(&spki).find(|key| key.state == KeyState::Active) {
                    return Err(wrong_state(
                        &active.kid,
                        active.state,
                        "publish and activate another key first",
                    ));
                }
                let leaked: Vec<KeyId> = self.twins(&spki).map(|key| key.kid.clone()).collect();
                for kid in &leaked {
                    self.move_key(kid, KeyState::Tainted);
                }
                self.keys_changed();
                Ok(Outcome::Done)
            }
        }
    }

    /// The keys of the keyring with this public key: a renewed certificate is another id for the same key.
    fn twins(&self, spki_der: &[u8]) -> impl Iterator<Item = &Arc<Key>> {
        self.keyring.values().filter(move |key| key.spki_der == spki_der)
    }

    fn state_of(&self, kid: &KeyId) -> Result<KeyState, Refusal> {
        self.keyring.get(kid).map(|key| key.state).ok_or_else(|| Refusal::KeyUnknown { kid: kid.clone() })
    }

    fn move_key(&mut self, kid: &KeyId, state: KeyState) {
        if let Some(key) = self.keyring.get(kid).cloned() {
            let key = Key { state, since_index: self.index, ..key.as_ref().clone() };
            self.keyring.insert(kid.clone(), Arc::new(key));
        }
    }
}

fn wrong_state(kid: &KeyId, state: KeyState, why: &str) -> Refusal {
    Refusal::KeyState { kid: kid.clone(), state: state.as_str().to_owned(), why: why.to_owned() }
}
