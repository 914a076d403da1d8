//! When tokens were last used: what nodes tell the cluster of it, and what lists say.

use circlet_authority::{Action, Actor, NoteUse, State};
use circlet_token::TokenId;

use super::{Reply, Workload};
use crate::cluster::Computer;
use crate::history::Event;
use crate::scope::lock;

/// So many uses are told at once at most.
const USES: u64 = 4;
/// How long ago a use is at most that is told, in seconds: it waited to be told, and others were told meanwhile.
const AGO_SECS_MAX: u64 = 30;
/// How far the clock of a node may be ahead by which it dates uses, in seconds.
const AHEAD_SECS_MAX: u64 = 600;

impl Workload {
    /// A node tells which tokens were used on it, and when: some of them are gone, and its clock may be ahead.
    pub(super) async fn note_use(&self, computer: &Computer) {
        let Some(view) = self.cluster.view() else { return };
        let now_secs = view.now_ms() / 1_000;
        let when = || {
            if self.dice.percent(80) {
                now_secs.saturating_sub(self.dice.between(0, AGO_SECS_MAX))
            } else {
                now_secs + self.dice.between(1, AHEAD_SECS_MAX)
            }
        };
        let uses: Vec<(TokenId, u64)> = (0..self.dice.between(1, USES))
            .filter_map(|_| self.some_token())
            .map(|held| (held.record.id, when()))
            .collect();
        self.count("use told");
        let action = Action::NoteUse(NoteUse { uses: uses.clone() });
        if let Reply::Decided { .. } = self.propose(computer, Actor::System, action).await {
            // The state's time was that late at least.
            let uses = uses.into_iter().map(|(id, at)| (id, at.min(now_secs))).collect();
            self.cluster.history.tell(&Event::UsesNoted { uses });
        }
    }

    /// Tells when these tokens were last used, as a view that was asked for at `sent` says it.
    pub(super) fn tell_uses(&self, view: &State, ids: impl Iterator<Item = TokenId>, sent: u64) {
        let (history, index, now_secs) = (&self.cluster.history, view.index(), view.now_ms() / 1_000);
        for id in ids.filter(|id| view.token(id).is_some()) {
            let at = view.last_used(&id);
            history.tell(&Event::LastUsed { id, index, at, now_secs, sent });
        }
        let held = lock(&self.held);
        let gone = held.iter().map(|held| held.record.id).filter(|id| view.token(id).is_none());
        let used_when_gone = gone.filter(|id| view.last_used(id).is_some());
        used_when_gone.for_each(|id| history.tell(&Event::UsedWhenGone { id, index }));
    }
}
