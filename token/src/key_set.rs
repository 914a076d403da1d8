//! The keys that are believed.
use crate::algorithm::Algorithm;
use crate::key_id::KeyId;
use crate::public_key::PublicKey;
use crate::service_id::ServiceId;
use std::collections::BTreeMap;

/// A set of public keys. Found by id, and else by issuer and algorithm; and one public key belongs to one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    by_id: BTreeMap<KeyId, PublicKey>,
    /// Ids in the order of (unique part of the issuer, algorithm).
    by_issuer: BTreeMap<(String, Algorithm), Vec<KeyId>>,
    /// Whose a key is, by what makes it the same key.
    owners: BTreeMap<Vec<u8>, ServiceId>,
}

/// Why a key cannot join a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyConflict {
    /// The same public key already speaks for another issuer.
    #[error("the public key of `{id}` already speaks for {owner}, so it cannot speak for {claimed}")]
    OtherIssuer {
        /// The key that was to join.
        id: KeyId,
        /// The issuer that has it.
        owner: ServiceId,
        /// The issuer that it was to speak for.
        claimed: ServiceId,
    },
    /// The id already names another public key.
    #[error("the id `{id}` already names another key")]
    OtherKey {
        /// The id.
        id: KeyId,
    },
}

impl KeySet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key. Adding the same again changes nothing; a renewed certificate for a key of the same issuer is another
    /// id for it.
    pub fn insert(&mut self, key: PublicKey) -> Result<(), KeyConflict> {
        if let Some(known) = self.by_id.get(key.id()) {
            return if *known == key { Ok(()) } else { Err(KeyConflict::OtherKey { id: key.id().clone() }) };
        }
        if let Some(owner) = self.owners.get(key.identity())
            && !owner.same_service(key.issuer())
        {
            return Err(KeyConflict::OtherIssuer {
                id: key.id().clone(),
                owner: owner.clone(),
                claimed: key.issuer().clone(),
            });
        }
        self.owners.entry(key.identity().to_vec()).or_insert_with(|| key.issuer().clone());
        self.by_issuer
            .entry((key.issuer().ulid().to_owned(), key.algorithm()))
            .or_default()
            .push(key.id().clone());
        self.by_id.insert(key.id().clone(), key);
        Ok(())
    }

    /// The key with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&PublicKey> {
        self.by_id.get(id)
    }

    /// The keys of an issuer with an algorithm, oldest in the set first.
    pub fn of_issuer(&self, issuer: &ServiceId, algorithm: Algorithm) -> impl Iterator<Item = &PublicKey> {
        let ids = self.by_issuer.get(&(issuer.ulid().to_owned(), algorithm)).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.by_id.get(id))
    }

    /// All keys, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.by_id.values()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
