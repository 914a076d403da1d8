//! Whom a cluster expects: who may still use an invitation of its, and who is being let in.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use circlet_authority::{Invite, State};

use super::pairing::Invited;
use crate::scope::lock;

/// The guests of a cluster, and whether an administrator is changing whom it trusts.
#[derive(Default)]
pub struct Guests {
    /// An administrator changes whom the cluster trusts, or what a neighbour may: one at a time.
    pub busy: Arc<AtomicBool>,
    open: Mutex<Vec<Invited>>,
    under_way: Arc<AtomicU64>,
}

/// Somebody is being let in, until this is dropped.
pub(super) struct UnderWay(Arc<AtomicU64>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Guests {
    /// An invitation was made.
    pub(crate) fn invite(&self, invited: &Invited) {
        lock(&self.open).push(invited.clone());
    }

    /// Somebody is being let in.
    pub(super) fn begin(&self) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        UnderWay(Arc::clone(&self.under_way))
    }

    /// Whether somebody may come: an administrator who shuts a neighbour out waits until nobody can.
    pub(crate) fn are_expected(&self, view: &State) -> bool {
        let now = view.now_ms() / 1_000;
        let is_over = |invited: &Invited| {
            let over = |invite: &Arc<Invite>| invite.redeemed.is_some() || invite.expires_at <= now;
            view.index() >= invited.index && view.invite(&invited.hash).is_none_or(over)
        };
        let mut open = lock(&self.open);
        open.retain(|invited| !is_over(invited));
        !open.is_empty() || self.under_way.load(Ordering::SeqCst) > 0
    }
}
