//! Remembers which recorded tokens were used on this node, until the cluster is told.
//!
//! A use costs a short lock and a lookup, and no entry in the log: every `token.last-used-interval` a node tells the
//! cluster in one go. A node that stops before takes with it what it has not told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use circlet_authority::State;
use circlet_token::{TokenId, Verified};

/// Tokens that are remembered at most; the use of further ones is not noted.
const ENTRIES_MAX: usize = 100_000;

/// Which tokens were used, and when, in seconds. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Usage {
    noted: Arc<Mutex<HashMap<TokenId, u64>>>,
}

impl Usage {
    /// Notes that a token of ours was accepted on this view, if the view has a record of it.
    pub(crate) fn note(&self, view: &State, verified: &Verified, now_secs: u64) {
        let Some(id) = verified.claims.id else { return };
        if let Some(at) = self.noted().get_mut(&id) {
            *at = now_secs;
            return;
        }
        // Another issuer may have drawn the same id.
        let recorded = view.key(&verified.key).is_some() && view.token(&id).is_some();
        if recorded {
            self.add(id, now_secs);
        }
    }

    /// Hands over what was noted, and starts anew.
    pub(crate) fn take(&self) -> Vec<(TokenId, u64)> {
        std::mem::take(&mut *self.noted()).into_iter().collect()
    }

    /// Takes back what could not be told.
    pub(crate) fn give_back(&self, uses: &[(TokenId, u64)]) {
        for (id, at) in uses {
            self.add(*id, *at);
        }
    }

    fn add(&self, id: TokenId, at: u64) {
        let mut noted = self.noted();
        if noted.len() < ENTRIES_MAX {
            let latest = noted.entry(id).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    fn noted(&self) -> MutexGuard<'_, HashMap<TokenId, u64>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_told_is_kept_unless_there_is_newer() {
        let usage = Usage::default();
        let (one, two) = (TokenId([1; 16]), TokenId([2; 16]));
        usage.add(one, 5);
        let taken = usage.take();
        assert_eq!(taken, [(one, 5)]);
        assert_eq!(usage.take(), []);
        usage.add(one, 9);
        usage.add(two, 3);
        usage.give_back(&taken);
        let mut again = usage.take();
        again.sort_unstable();
        assert_eq!(again, [(one, 9), (two, 3)]);
    }
}
