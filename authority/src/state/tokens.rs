//! Recorded tokens, and the ways to find them.

use std::sync::Arc;

use circlet_token::{KeyId, TokenId, UserName};
use imbl::{OrdMap, OrdSet};

use crate::record::TokenRecord;

/// The recorded tokens. All maps but the first are derived from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    records: OrdMap<TokenId, Arc<TokenRecord>>,
    /// By the user who created it, and by the user for whom it speaks.
    by_user: OrdSet<(UserName, TokenId)>,
    by_expiry: OrdSet<(u64, TokenId)>,
    owned: OrdMap<UserName, u64>,
    references: OrdMap<[u8; 32], TokenId>,
    signed: OrdMap<KeyId, u64>,
}

impl Tokens {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, id: &TokenId) -> Option<&Arc<TokenRecord>> {
        self.records.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<TokenRecord>> {
        self.records.values()
    }

    pub(crate) fn of_user(&self, name: &UserName) -> impl Iterator<Item = &Arc<TokenRecord>> {
        let from = (name.clone(), TokenId([0; 16]));
        let name = name.clone();
        self.by_user
            .range(from..)
            .take_while(move |(user, _)| *user == name)
            .filter_map(|(_, id)| self.records.get(id))
    }

    pub(crate) fn owned_by(&self, name: &UserName) -> u64 {
        self.owned.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn signed_by(&self, kid: &KeyId) -> u64 {
        self.signed.get(kid).copied().unwrap_or(0)
    }

    pub(crate) fn by_reference(&self, hash: &[u8; 32]) -> Option<TokenId> {
        self.references.get(hash).copied()
    }

    /// Ids that expired at `through` or before, earliest first.
    pub(crate) fn expired(&self, through: u64) -> impl Iterator<Item = TokenId> {
        self.by_expiry.range(..=(through, TokenId([0xff; 16]))).map(|(_, id)| *id)
    }

    pub(crate) fn insert(&mut self, record: TokenRecord) {
        self.remove(&record.id);
        for user in users_of(&record) {
            self.by_user.insert((user, record.id));
        }
        if let Some(owner) = &record.owner {
            let count = self.owned_by(owner).saturating_add(1);
            self.owned.insert(owner.clone(), count);
        }
        if let Some(hash) = record.reference {
            self.references.insert(hash, record.id);
        }
        let count = self.signed_by(&record.kid).saturating_add(1);
        self.signed.insert(record.kid.clone(), count);
        self.by_expiry.insert((record.expiry(), record.id));
        self.records.insert(record.id, Arc::new(record));
    }

    pub(crate) fn remove(&mut self, id: &TokenId) -> Option<Arc<TokenRecord>> {
        let record = self.records.remove(id)?;
        for user in users_of(&record) {
            self.by_user.remove(&(user, record.id));
        }
        if let Some(owner) = &record.owner {
            match self.owned_by(owner).saturating_sub(1) {
                0 => self.owned.remove(owner),
                count => self.owned.insert(owner.clone(), count),
            };
        }
        if let Some(hash) = record.reference {
            self.references.remove(&hash);
        }
        match self.signed_by(&record.kid).saturating_sub(1) {
            0 => self.signed.remove(&record.kid),
            count => self.signed.insert(record.kid.clone(), count),
        };
        self.by_expiry.remove(&(record.expiry(), record.id));
        Some(record)
    }

    /// The sizes of the derived maps, for the invariants: by user, by expiry, owned in all, references, signed in all.
    pub(crate) fn derived_sizes(&self) -> (usize, usize, u64, usize, u64) {
        let total = |count: u64, more: &u64| count.saturating_add(*more);
        let owned = self.owned.values().fold(0, total);
        let signed = self.signed.values().fold(0, total);
        (self.by_user.len(), self.by_expiry.len(), owned, self.references.len(), signed)
    }
}

/// Owner and subject, each once.
pub(crate) fn users_of(record: &TokenRecord) -> impl Iterator<Item = UserName> {
    let subject = record.subject.user_name().and_then(|name| UserName::parse(name).ok());
    let owner = record.owner.clone().filter(|owner| Some(owner) != subject.as_ref());
    owner.into_iter().chain(subject)
}
