//! Families of refreshable tokens.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::record::{Family, FamilyId};

/// The families, and the order in which they can be forgotten.
#[derive(Debug, Clone, Default)]
pub(crate) struct Families {
    records: OrdMap<FamilyId, Arc<Family>>,
    /// Derived: by [`Family::expiry`].
    by_expiry: OrdSet<(u64, FamilyId)>,
}

impl Families {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, id: &FamilyId) -> Option<&Arc<Family>> {
        self.records.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FamilyId, &Arc<Family>)> {
        self.records.iter()
    }

    /// Families whose last second was `through` or before, earliest first.
    pub(crate) fn expired(&self, through: u64) -> impl Iterator<Item = FamilyId> {
        self.by_expiry.range(..=(through, FamilyId([0xff; 16]))).map(|(_, id)| *id)
    }

    pub(crate) fn insert(&mut self, id: FamilyId, family: Family) {
        self.remove(&id);
        self.by_expiry.insert((family.expiry(), id));
        self.records.insert(id, Arc::new(family));
    }

    pub(crate) fn remove(&mut self, id: &FamilyId) {
        if let Some(family) = self.records.remove(id) {
            self.by_expiry.remove(&(family.expiry(), *id));
        }
    }

    pub(crate) fn derived_size(&self) -> usize {
        self.by_expiry.len()
    }
}
