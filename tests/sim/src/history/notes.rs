//! What is remembered of the log beside the events: whom nobody tells, and what is told later.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use circlet_authority::{FamilyId, State, TokenRecord};
use circlet_token::TokenId;

use super::{Descendant, Event, History};
use crate::runtime::global_nanos;
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

    /// A node handed out a token that the log doesn't know.
    pub fn note_plain(&self, record: &TokenRecord) {
        lock(&self.plain).push(Arc::new(record.clone()));
    }

    /// Those of them that live at this second.
    #[must_use]
    pub fn plain_alive(&self, second: u64) -> Vec<Arc<TokenRecord>> {
        lock(&self.plain).iter().filter(|record| record.expiry() > second).cloned().collect()
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

    /// A node has come to this state.
    pub fn note_staleness(&self, view: &State) {
        let newest = (view.generation(), view.index());
        let ms = u64::try_from(view.config().max_staleness_ms).unwrap_or(0);
        let mut known = lock(&self.staleness);
        let (last, last_ms) = ((known.0.0, known.0.1), known.1);
        if newest <= last {
            return;
        }
        known.0 = newest;
        if ms != last_ms {
            known.1 = ms;
            known.2.set(global_nanos(), ms);
            drop(known);
            self.tell(&Event::Staleness { ms });
        }
    }

    /// Until when some node may go by a view that lacks what was acknowledged at this moment.
    #[must_use]
    pub fn staleness_ends(&self, at: u64) -> u64 {
        lock(&self.staleness).2.ends(at)
    }

    /// For how long nodes have gone by their views at most.
    #[must_use]
    pub fn staleness_max(&self) -> u64 {
        lock(&self.staleness).2.longest()
    }

    /// The cluster is lost that had all of this to end; whoever was told that some of it has ended was told so before.
    pub fn forget_descendants(&self) {
        lock(&self.descendants).clear();
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

    /// What had expired by this second may go, on account of the mark at this index.
    pub fn note_purge_mark(&self, index: u64, through: u64) {
        lock(&self.purge_marks).insert(index, through);
    }

    /// What had expired by the mark at this index, in seconds; nothing if there was none.
    #[must_use]
    pub fn marked_through(&self, index: u64) -> u64 {
        lock(&self.purge_marks).get(&index).copied().unwrap_or(0)
    }

    /// A family was forgotten that somebody had ended, whenever its tokens would have expired.
    pub fn note_over(&self, family: FamilyId) {
        lock(&self.over).insert(family);
    }

    /// Whether it was.
    #[must_use]
    pub fn was_over(&self, family: &FamilyId) -> bool {
        lock(&self.over).contains(family)
    }

    /// Another cluster begins at this index.
    pub fn note_begun(&self, index: u64) {
        self.begun.store(index, Ordering::SeqCst);
    }

    /// Whether a token of this index was issued by the present cluster.
    #[must_use]
    pub fn is_of_present(&self, index: u64) -> bool {
        index >= self.begun.load(Ordering::SeqCst)
    }

    /// A file with this master key was damaged.
    pub fn note_damaged_key(&self, fingerprint: [u8; 32]) {
        lock(&self.damaged_keys).insert(fingerprint);
    }

    /// Whether one was.
    #[must_use]
    pub fn was_damaged(&self, fingerprint: &[u8; 32]) -> bool {
        lock(&self.damaged_keys).contains(fingerprint)
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

    /// A node has met this feature level in what the cluster decided.
    pub fn note_level(&self, level: u32) {
        self.level.fetch_max(level, Ordering::SeqCst);
    }

    /// The highest feature level that the cluster has come to.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.level.load(Ordering::SeqCst)
    }
}
