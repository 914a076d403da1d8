//! What somebody tried to end, whatever was answered: of those tokens nobody can say that they live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use circlet_authority::FamilyId;
use circlet_token::{KeyId, TokenId};

use super::Held;

/// What nobody knows to be done or not done may still be done for so long, in nanoseconds.
pub(crate) const LATE: u64 = 30_000_000_000;

/// Tokens, families, and users.
#[derive(Debug, Default)]
pub(crate) struct Touched(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ids: BTreeSet<TokenId>,
    families: BTreeSet<FamilyId>,
    /// For each user: how many removals began, and until when one may be under way.
    removals: BTreeMap<String, (u64, u64)>,
    /// For each key: below which index somebody tried to end what it signed.
    keys: BTreeMap<KeyId, u64>,
    /// Keys that somebody tried to taint.
    leaked: BTreeSet<KeyId>,
    /// How many taints are under way, and until when another one may be, of which nobody was told.
    taints: (u32, u64),
    groups: BTreeSet<String>,
}

impl Touched {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody tried to end this token.
    pub(crate) fn holds(&self, held: &Held) -> bool {
        let inner = self.lock();
        let family = held.refresh.as_ref().map(|(family, ..)| family);
        inner.ids.contains(&held.id)
            || family.is_some_and(|family| inner.families.contains(family))
            || inner.keys.get(&held.kid).is_some_and(|below| held.index < *below)
            || held.groups.iter().any(|group| inner.groups.contains(group))
    }

    /// Whether somebody tried to end what this key signed with this index.
    pub(crate) fn ends_key(&self, kid: &KeyId, index: u64) -> bool {
        self.lock().keys.get(kid).is_some_and(|below| index < *below)
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
        inner.taints.0 += 1;
    }

    /// The taint was decided, or nobody knows.
    pub(crate) fn leaked(&self, decided: bool, now: u64) {
        let mut inner = self.lock();
        let until = if decided { now } else { now.saturating_add(LATE) };
        inner.taints = (inner.taints.0.saturating_sub(1), inner.taints.1.max(until));
    }

    /// Until when another key may have begun to sign without waiting for anybody, since the one before leaked.
    pub(crate) fn last_leak(&self) -> u64 {
        let (under_way, until) = self.lock().taints;
        if under_way > 0 { u64::MAX } else { until }
    }

    /// Somebody is about to end what claims this group.
    pub(crate) fn group(&self, group: &str) {
        self.lock().groups.insert(group.to_owned());
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
        let (began, until) = inner.removals.entry(user.to_owned()).or_default();
        (*began, *until) = (*began + 1, u64::MAX);
    }

    /// The removal was decided, or nobody knows.
    pub(crate) fn removed(&self, user: &str, decided: bool, now: u64) {
        let mut inner = self.lock();
        if let Some((_, until)) = inner.removals.get_mut(user) {
            *until = if decided { now } else { now.saturating_add(LATE) };
        }
    }

    /// What is to be given to [`Self::spared`] when a token of the user has been issued; `None` while a removal may be
    /// under way.
    pub(crate) fn before_issue(&self, user: &str, now: u64) -> Option<u64> {
        let (began, until) = self.lock().removals.get(user).copied().unwrap_or_default();
        (now > until || until == 0).then_some(began)
    }

    /// Whether no removal of the user began since then.
    pub(crate) fn spared(&self, user: &str, before: Option<u64>) -> bool {
        before == Some(self.lock().removals.get(user).copied().unwrap_or_default().0)
    }
}

#[cfg(test)]
mod tests {
    use circlet_token::KeyId;

    use super::{LATE, Touched};

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
        touched.leaked(false, 5);
        assert_eq!(touched.last_leak(), LATE + 5);
    }

    #[test]
    fn a_token_issued_while_its_user_may_be_removed_is_not_spared() {
        let touched = Touched::default();
        let before = touched.before_issue("alice", 5);
        assert!(touched.spared("alice", before));
        touched.removing("alice");
        assert!(!touched.spared("alice", before));
        assert!(!touched.spared("alice", touched.before_issue("alice", 6)));
        touched.removed("alice", false, 7);
        assert_eq!(touched.before_issue("alice", LATE), None);
        assert!(touched.spared("alice", touched.before_issue("alice", LATE + 8)));
    }
}
