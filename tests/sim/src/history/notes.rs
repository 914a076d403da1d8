//! What is remembered of the log beside the events: whom nobody tells, and what is told later.

use std::collections::BTreeSet;
use std::sync::Arc;

use circlet_authority::TokenRecord;
use circlet_token::TokenId;

use super::{Descendant, History};
use crate::scope::lock;
use crate::sealing::MasterKey;
use crate::turnover::custodian::Master;

impl History {
    /// The log issued a token. Every node says so, and each repeat of the request: always of the same token.
    pub fn note_issued(&self, record: &TokenRecord) {
        let mut issued = lock(&self.issued);
        let first = issued.entry(record.id).or_insert_with(|| Arc::new(record.clone()));
        let differs = first.as_ref() != record;
        drop(issued);
        if differs {
            self.accuse(
                "issued-once",
                format!("the log issued another token under {}: {record:?}", record.id),
            );
        }
    }

    /// Every token that the log has issued so far.
    #[must_use]
    pub fn issued(&self) -> Vec<Arc<TokenRecord>> {
        lock(&self.issued).values().cloned().collect()
    }

    /// The token that the log has issued under an id.
    #[must_use]
    pub fn issued_as(&self, id: &TokenId) -> Option<Arc<TokenRecord>> {
        lock(&self.issued).get(id).cloned()
    }

    /// Whether nobody has spoken for the entry at this index.
    pub fn is_first_at(&self, index: u64) -> bool {
        lock(&self.spoken_for).insert(index)
    }

    /// This has to end once a revoke is done.
    pub fn note_descendants(&self, index: u64, found: Vec<Descendant>) {
        lock(&self.descendants).insert(index, found);
    }

    /// A token went in another way than with what it was created with.
    pub fn note_gone(&self, id: TokenId) {
        lock(&self.gone).insert(id);
    }

    /// What has to have ended, since all revokes up to an index are done. Each is given once.
    #[must_use]
    pub fn take_descendants(&self, index: u64) -> Vec<Descendant> {
        let mut all = lock(&self.descendants);
        let later = all.split_off(&index.saturating_add(1));
        let done = std::mem::replace(&mut *all, later);
        let gone = lock(&self.gone);
        let is_reached = |found: &Descendant| found.through.iter().all(|id| !gone.contains(id));
        done.into_values().flatten().filter(is_reached).collect()
    }

    /// These were in the group on which a watermark was set.
    pub fn note_members(&self, index: u64, members: BTreeSet<String>) {
        lock(&self.members).insert(index, members);
    }

    /// Who was in the group on which a watermark was set.
    #[must_use]
    pub fn members_at(&self, index: u64) -> BTreeSet<String> {
        lock(&self.members).get(&index).cloned().unwrap_or_default()
    }

    /// A master key was made.
    pub fn note_master_key(&self, key: &MasterKey) {
        lock(&self.masters).insert(key.fingerprint(), key.clone());
    }

    /// The master key with this fingerprint.
    #[must_use]
    pub fn master_key(&self, fingerprint: &[u8; 32]) -> Option<MasterKey> {
        lock(&self.masters).get(fingerprint).cloned()
    }

    /// The refresh secret was replaced, since a lost node knew it.
    pub fn note_replaced(&self, index: u64) {
        let mut since = lock(&self.refresh_since);
        *since = index.max(*since);
    }

    /// Whether the refresh token that came with a token of this index can't be told from a forged one any more.
    #[must_use]
    pub fn is_of_replaced(&self, index: u64) -> bool {
        index < *lock(&self.refresh_since)
    }
}
