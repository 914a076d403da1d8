//! Recorded tokens, and the ways to find them.

use std::{ops::Bound, sync::Arc};

use circlet_token::{KeyId, TokenId, UserName};
use imbl::{OrdMap, OrdSet};

use crate::record::{Origin, TokenRecord};

/// The recorded tokens. All maps but the first are derived from it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tokens {
    records: OrdMap<TokenId, Arc<TokenRecord>>,
    /// By the user who created it, and by the user for whom it speaks.
    by_user: OrdSet<(UserName, TokenId)>,
    by_expiry: OrdSet<(u64, TokenId)>,
    /// By the log index that issued it.
    by_index: OrdSet<(u64, TokenId)>,
    children: OrdSet<(Origin, TokenId)>,
    owned: OrdMap<UserName, u64>,
    references: OrdMap<[u8; 32], TokenId>,
    signed: OrdMap<KeyId, u64>,
    /// When a token was last used, seconds. Not derived, and apart from the records, which seldom change.
    used: OrdMap<TokenId, u64>,
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

    pub(crate) fn of_user<'a>(
        &'a self,
        name: &UserName,
    ) -> impl Iterator<Item = &'a Arc<TokenRecord>> + use<'a> {
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

    pub(crate) fn last_used(&self, id: &TokenId) -> Option<u64> {
        self.used.get(id).copied()
    }

    pub(crate) fn uses(&self) -> impl Iterator<Item = (&TokenId, &u64)> {
        self.used.iter()
    }

    pub(crate) fn note_use(&mut self, id: TokenId, at: u64) {
        if self.records.contains_key(&id) && self.last_used(&id).is_none_or(|before| before < at) {
            self.used.insert(id, at);
        }
    }

    /// Ids that expired at `through` or before, earliest first.
    pub(crate) fn expired(&self, through: u64) -> impl Iterator<Item = TokenId> {
        self.by_expiry.range(..=(through, TokenId([0xff; 16]))).map(|(_, id)| *id)
    }

    /// All behind this id, by id.
    pub(crate) fn behind<'a>(
        &'a self,
        id: Option<TokenId>,
        descending: bool,
    ) -> Box<dyn Iterator<Item = &'a Arc<TokenRecord>> + 'a> {
        let place = id.map_or(Bound::Unbounded, Bound::Excluded);
        if descending {
            Box::new(self.records.range((Bound::Unbounded, place)).rev().map(|(_, record)| record))
        } else {
            Box::new(self.records.range((place, Bound::Unbounded)).map(|(_, record)| record))
        }
    }

    /// The lowest log index that issued one that is still recorded.
    pub(crate) fn oldest_index(&self) -> Option<u64> {
        self.by_index.get_min().map(|(index, _)| *index)
    }

    /// Places in the order of expiry or of issue.
    pub(crate) fn places(&self, order: Order) -> &OrdSet<(u64, TokenId)> {
        match order {
            Order::Expiry => &self.by_expiry,
            Order::Issue => &self.by_index,
        }
    }

    /// Ids of tokens that were created with `origin`, in order, behind `after`.
    pub(crate) fn created_with(
        &self,
        origin: Origin,
        after: Option<TokenId>,
    ) -> impl Iterator<Item = TokenId> {
        let from = after
            .map_or(Bound::Included((origin, TokenId([0; 16]))), |after| Bound::Excluded((origin, after)));
        self.children
            .range((from, Bound::Unbounded))
            .take_while(move |(found, _)| *found == origin)
            .map(|(_, id)| *id)
    }

    pub(crate) fn insert(&mut self, record: TokenRecord) {
        // Looked for first: removing copies its way through a map even if nothing is there.
        if self.records.contains_key(&record.id) {
            self.remove(&record.id);
        }
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
        if let Some(origin) = record.origin {
            self.children.insert((origin, record.id));
        }
        self.by_expiry.insert((record.expiry(), record.id));
        self.by_index.insert((record.index, record.id));
        self.records.insert(record.id, Arc::new(record));
    }

    pub(crate) fn remove(&mut self, id: &TokenId) -> Option<Arc<TokenRecord>> {
        let record = self.records.remove(id)?;
        if self.used.contains_key(id) {
            self.used.remove(id);
        }
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
        if let Some(origin) = record.origin {
            self.children.remove(&(origin, record.id));
        }
        self.by_expiry.remove(&(record.expiry(), record.id));
        self.by_index.remove(&(record.index, record.id));
        Some(record)
    }

    /// The sizes of the derived maps, for the invariants.
    pub(crate) fn derived_sizes(&self) -> DerivedSizes {
        DerivedSizes {
            by_user: self.by_user.len(),
            by_expiry: self.by_expiry.len(),
            by_index: self.by_index.len(),
            owned: self.owned.values().fold(0_u64, |sum, count| sum.saturating_add(*count)),
            references: self.references.len(),
            signed: self.signed.values().fold(0_u64, |sum, count| sum.saturating_add(*count)),
            children: self.children.len(),
        }
    }
}

/// An order in which tokens can be walked through from anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Expiry,
    Issue,
}

/// How many entries each derived map has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct DerivedSizes {
    pub(crate) by_user: usize,
    pub(crate) by_expiry: usize,
    pub(crate) by_index: usize,
    pub(crate) owned: u64,
    pub(crate) references: usize,
    pub(crate) signed: u64,
    pub(crate) children: usize,
}

/// Owner and subject, each once.
pub(crate) fn users_of(record: &TokenRecord) -> impl Iterator<Item = UserName> {
    let subject = record.subject.user_name().and_then(|name| UserName::parse(name).ok());
    let owner = record.owner.clone().filter(|owner| Some(owner) != subject.as_ref());
    owner.into_iter().chain(subject)
}
