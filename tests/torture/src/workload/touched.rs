//! What somebody tried to end, whatever was answered: of those tokens nobody can say that they live.
//!
//! What was never answered may be decided at any later time: `raft.propose-timeout-ms` says when its fate counts as
//! unknown, and an entry that one node alone has kept comes into effect when that node leads again. So it stays open until
//! something shows that it can change nothing any more, and otherwise for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use circlet_authority::FamilyId;
use circlet_sim::linear::Object;
use circlet_token::{KeyId, TokenId};

use super::Held;

/// Tokens, families, and users.
#[derive(Debug, Default)]
pub(crate) struct Touched(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ids: BTreeSet<TokenId>,
    families: BTreeSet<FamilyId>,
    /// For each user: how many removals began, and how many of them nobody was told of.
    removals: BTreeMap<String, (u64, u64)>,
    /// For each key: below which index somebody tried to end what it signed.
    keys: BTreeMap<KeyId, u64>,
    /// Keys that somebody tried to taint.
    leaked: BTreeSet<KeyId>,
    /// Keys whose taint may yet be decided, once for each time that it was asked for.
    leaking: Vec<KeyId>,
    /// When the last key was known to be tainted.
    last_leak: u64,
    /// Below which index everything ended, since a lost node knew what it was signed with.
    lost_below: u64,
    /// How many nodes are being declared lost.
    losing: u64,
    groups: BTreeSet<String>,
    /// Tokens of this subject, or everybody's, that say that they were issued from this second to that.
    seconds: Vec<(Option<u64>, u64, u64)>,
    /// What was created with these.
    descendants: BTreeSet<Object>,
}

impl Touched {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody tried to end this token.
    pub(crate) fn holds(&self, held: &Held) -> bool {
        self.holds_but_for_key(held) || self.ends_key(&held.kid, held.index)
    }

    /// Whether somebody tried to end this token otherwise than with its key.
    pub(crate) fn holds_but_for_key(&self, held: &Held) -> bool {
        let inner = self.lock();
        let family = held.refresh.as_ref().map(|(family, ..)| family);
        inner.ids.contains(&held.id)
            || family.is_some_and(|family| inner.families.contains(family))
            || held.groups.iter().any(|group| inner.groups.contains(group))
            || held.origins.iter().any(|origin| inner.descendants.contains(origin))
            || inner.ends_second(held.subject, held.issued_at)
    }

    /// Whether somebody tried to end what this key signed with this index.
    pub(crate) fn ends_key(&self, kid: &KeyId, index: u64) -> bool {
        self.ends_with_a_loss(index) || self.lock().keys.get(kid).is_some_and(|below| index < *below)
    }

    /// Whether what was issued at this index ends, or may, since a lost node knew what it was made with.
    pub(crate) fn ends_with_a_loss(&self, index: u64) -> bool {
        let inner = self.lock();
        inner.losing > 0 || index < inner.lost_below
    }

    /// Somebody is about to end what a key has signed so far.
    pub(crate) fn ending_key(&self, kid: &KeyId) {
        self.lock().keys.insert(kid.clone(), u64::MAX);
    }

    /// What a key had signed below this index was ended, and nothing else that it signs, unless it leaked.
    pub(crate) fn key_ended(&self, kid: &KeyId, below: u64) {
        let mut inner = self.lock();
        if !inner.leaked.contains(kid) {
            inner.keys.insert(kid.clone(), below);
        }
    }

    /// Somebody is about to say that a key has leaked.
    pub(crate) fn leaking(&self, kid: &KeyId) {
        let mut inner = self.lock();
        inner.keys.insert(kid.clone(), u64::MAX);
        inner.leaked.insert(kid.clone());
        inner.leaking.push(kid.clone());
    }

    /// A taint of the key was refused.
    pub(crate) fn not_leaked(&self, kid: &KeyId) {
        let mut inner = self.lock();
        if let Some(at) = inner.leaking.iter().position(|leaking| leaking == kid) {
            inner.leaking.swap_remove(at);
        }
    }

    /// A taint of the key was decided, or the key is out of use: whatever else asked for its taint changes nothing.
    pub(crate) fn out_of_use(&self, kid: &KeyId, now: u64) {
        let mut inner = self.lock();
        if inner.leaking.contains(kid) {
            inner.leaking.retain(|leaking| leaking != kid);
            inner.last_leak = inner.last_leak.max(now);
        }
    }

    /// Until when another key may have begun to sign without waiting for anybody, since the one before leaked.
    pub(crate) fn last_leak(&self) -> u64 {
        let inner = self.lock();
        if inner.leaking.is_empty() && inner.losing == 0 { inner.last_leak } else { u64::MAX }
    }

    /// A node is about to be declared lost, by somebody who doesn't rest before that is done: then everything ends, and the next
    /// key signs at once.
    pub(crate) fn losing(&self) {
        self.lock().losing += 1;
    }

    /// It was done: what was issued below this index has ended.
    pub(crate) fn lost(&self, below: u64, now: u64) {
        let mut inner = self.lock();
        inner.losing = inner.losing.saturating_sub(1);
        inner.lost_below = inner.lost_below.max(below);
        inner.last_leak = inner.last_leak.max(now);
    }

    /// Somebody is about to end what claims this group.
    pub(crate) fn group(&self, group: &str) {
        self.lock().groups.insert(group.to_owned());
    }

    /// Somebody is about to end whatever was issued to this subject, or to everybody, in these seconds.
    pub(crate) fn seconds_of(&self, subject: Option<u64>, since: u64, until: u64) {
        self.lock().seconds.push((subject, since, until));
    }

    /// Whether somebody tried to end whatever was issued to this subject in this second.
    pub(crate) fn ends_second(&self, subject: u64, issued_at: u64) -> bool {
        self.lock().ends_second(subject, issued_at)
    }

    /// Somebody is about to end what was created with this.
    pub(crate) fn descendants(&self, of: Object) {
        self.lock().descendants.insert(of);
    }

    /// Somebody is about to end these tokens.
    pub(crate) fn tokens(&self, ids: impl IntoIterator<Item = TokenId>) {
        self.lock().ids.extend(ids);
    }

    /// Somebody is about to end this family.
    pub(crate) fn family(&self, family: FamilyId) {
        self.lock().families.insert(family);
    }

    /// Whether the token is about to be used up for the first time.
    pub(crate) fn first(&self, id: TokenId) -> bool {
        self.lock().ids.insert(id)
    }

    /// Somebody is about to remove this user.
    pub(crate) fn removing(&self, user: &str) {
        let mut inner = self.lock();
        let (began, open) = inner.removals.entry(user.to_owned()).or_default();
        (*began, *open) = (*began + 1, *open + 1);
    }

    /// A removal was decided or refused. One of which nobody knows what became is never told here.
    pub(crate) fn removed(&self, user: &str) {
        let mut inner = self.lock();
        if let Some((_, open)) = inner.removals.get_mut(user) {
            *open = open.saturating_sub(1);
        }
    }

    /// What is to be given to [`Self::spared`] when a token of the user has been issued; `None` while a removal may yet be
    /// decided.
    pub(crate) fn before_issue(&self, user: &str) -> Option<u64> {
        let (began, open) = self.lock().removals.get(user).copied().unwrap_or_default();
        (open == 0).then_some(began)
    }

    /// Whether no removal of the user began since then.
    pub(crate) fn spared(&self, user: &str, before: Option<u64>) -> bool {
        before == Some(self.lock().removals.get(user).copied().unwrap_or_default().0)
    }
}

impl Inner {
    fn ends_second(&self, subject: u64, issued_at: u64) -> bool {
        let mut ended = self.seconds.iter().filter(|(whose, ..)| whose.is_none_or(|whose| whose == subject));
        ended.any(|(_, since, until)| (*since..=*until).contains(&issued_at))
    }
}

#[cfg(test)]
mod tests {
    use circlet_token::KeyId;

    use super::Touched;

    #[test]
    fn a_key_whose_tokens_were_ended_signs_others_that_live() {
        let (touched, kid) = (Touched::default(), KeyId::of_certificate(b"one"));
        assert!(!touched.ends_key(&kid, 9));
        touched.ending_key(&kid);
        assert!(touched.ends_key(&kid, 9) && touched.ends_key(&kid, 10));
        touched.key_ended(&kid, 10);
        assert!(touched.ends_key(&kid, 9) && !touched.ends_key(&kid, 10));
        touched.leaking(&kid);
        touched.key_ended(&kid, 12);
        assert!(touched.ends_key(&kid, 12));
        assert_eq!(touched.last_leak(), u64::MAX);
    }

    #[test]
    fn everything_may_end_while_a_node_is_declared_lost_and_what_was_issued_before_has_ended_then() {
        let (touched, kid) = (Touched::default(), KeyId::of_certificate(b"one"));
        touched.losing();
        assert!(touched.ends_key(&kid, u64::MAX));
        assert_eq!(touched.last_leak(), u64::MAX);
        touched.lost(10, 5);
        assert!(touched.ends_key(&kid, 9) && !touched.ends_key(&kid, 10));
        assert_eq!(touched.last_leak(), 5);
    }

    #[test]
    fn what_was_issued_in_other_seconds_or_to_others_is_not_touched_by_a_mark_on_some() {
        let touched = Touched::default();
        touched.seconds_of(Some(7), 10, 12);
        assert!(touched.ends_second(7, 12) && !touched.ends_second(7, 13) && !touched.ends_second(8, 12));
        touched.seconds_of(None, 20, 20);
        assert!(touched.ends_second(8, 20) && !touched.ends_second(8, 21));
    }

    #[test]
    fn a_taint_that_was_never_answered_stays_open_until_its_key_is_out_of_use() {
        let (touched, kid) = (Touched::default(), KeyId::of_certificate(b"one"));
        touched.out_of_use(&kid, 3);
        assert_eq!(touched.last_leak(), 0);
        touched.leaking(&kid);
        touched.leaking(&kid);
        touched.not_leaked(&kid);
        touched.out_of_use(&KeyId::of_certificate(b"other"), 5);
        assert_eq!(touched.last_leak(), u64::MAX);
        touched.out_of_use(&kid, 7);
        touched.out_of_use(&kid, 9);
        assert_eq!(touched.last_leak(), 7);
    }

    #[test]
    fn a_token_issued_while_its_user_may_be_removed_is_not_spared() {
        let touched = Touched::default();
        let before = touched.before_issue("alice");
        assert!(touched.spared("alice", before));
        touched.removing("alice");
        assert!(!touched.spared("alice", before));
        assert!(!touched.spared("alice", touched.before_issue("alice")));
        touched.removed("alice");
        assert!(touched.spared("alice", touched.before_issue("alice")));
        // One that is never answered is not settled by another one that is.
        touched.removing("alice");
        touched.removing("alice");
        touched.removed("alice");
        assert_eq!(touched.before_issue("alice"), None);
    }
}
