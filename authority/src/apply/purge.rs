//! Forgetting what has expired, in two steps.
//!
//! A mark notes the state's time. What expired by then may go once the margin has passed twice over: in stamps, and on the
//! boot clock of the leader that saw the mark applied. So no one clock makes a needed revocation vanish.

use super::Applied;
use crate::{
    command::{Purge, Whom},
    config::unsigned,
    limits::PURGE_STEP_ENTRIES_MAX,
    outcome::Outcome,
    record::{Key, KeyOrigin, KeyState, NodeRole},
    refusal::Refusal,
    state::{PurgeMark, State},
};

type Step = fn(&mut State, &PurgeMark, usize) -> usize;

/// Tokens before watermarks: what is gone needs none.
const STEPS: [Step; 5] = [
    State::forget_families,
    State::forget_tokens,
    State::forget_revocations,
    State::forget_watermarks,
    State::forget_the_rest,
];

impl State {
    pub(super) fn purge(&mut self, purge: &Purge) -> Applied {
        match purge {
            Purge::Mark => Ok(self.mark_expired()),
            Purge::Remove { mark, elapsed_ms } => self.remove_expired(*mark, *elapsed_ms),
        }
    }

    fn mark_expired(&mut self) -> Outcome {
        self.go_on_ending_descendants();
        let mark = PurgeMark { index: self.index, through: self.now_secs(), at_ms: self.now_ms };
        let outcome = Outcome::Marked { mark: mark.index, through: mark.through };
        self.purge_mark = Some(mark);
        outcome
    }

    fn remove_expired(&mut self, mark: u64, elapsed_ms: u64) -> Applied {
        let Some(marked) = self.purge_mark.clone().filter(|marked| marked.index == mark) else {
            return Err(Refusal::MarkUnknown { mark });
        };
        let needed_ms = unsigned(self.config.purge_margin).saturating_mul(1_000);
        let elapsed_ms = elapsed_ms.min(self.now_ms.saturating_sub(marked.at_ms));
        if elapsed_ms < needed_ms {
            return Err(Refusal::MarkTooYoung { elapsed_ms, needed_ms });
        }
        let mut room = PURGE_STEP_ENTRIES_MAX;
        for step in STEPS {
            room = room.saturating_sub(step(self, &marked, room));
        }
        let removed = PURGE_STEP_ENTRIES_MAX.saturating_sub(room);
        let removed = u64::try_from(removed).unwrap_or(u64::MAX);
        Ok(Outcome::Purged { removed, more: room == 0 })
    }

    /// A family lives to its last expiry plus the grace for refreshing.
    fn forget_families(&mut self, mark: &PurgeMark, room: usize) -> usize {
        let through = mark.through.saturating_sub(unsigned(self.config.refresh_expiry));
        let gone: Vec<_> = self.families.expired(through).take(room).collect();
        for id in &gone {
            self.families.remove(id);
        }
        gone.len()
    }

    /// A token that its family names as the latest is kept beyond its own expiry, as long as the family is: also one that
    /// can't be refreshed any more, since a lost node knew the secret.
    fn forget_tokens(&mut self, mark: &PurgeMark, room: usize) -> usize {
        let named = |id: &_| self.tokens.get(id).is_some_and(|record| self.is_latest(record));
        let gone: Vec<_> = self.tokens.expired(mark.through).filter(|id| !named(id)).take(room).collect();
        for id in &gone {
            self.tokens.remove(id);
        }
        gone.len()
    }

    fn forget_revocations(&mut self, mark: &PurgeMark, room: usize) -> usize {
        let own = self.revocations.forget_expired(mark.through, room);
        own.saturating_add(self.forget_followed(mark.through, room.saturating_sub(own)))
    }

    /// A watermark goes once nothing that it refuses can be alive: no recorded token is as old, and no other token of ours
    /// lives that long. What others have issued, or an installation before us, may live for ever.
    fn forget_watermarks(&mut self, mark: &PurgeMark, room: usize) -> usize {
        let oldest = self.tokens.oldest_index().unwrap_or(u64::MAX);
        let adopted = |key: &Key| key.origin == KeyOrigin::Adopted && key.state != KeyState::Retired;
        if self.keyring.values().any(|key| adopted(key)) {
            return 0;
        }
        let mut watermarks = self.watermarks.clone();
        let gone = watermarks.forget(room, |whom, watermark| {
            let ours = match whom {
                Whom::Everyone => true,
                Whom::Key(kid) => self.keyring.contains_key(kid),
                Whom::Subject(subject) => self.is_us(subject.service()),
                Whom::Subjects { service, .. } => self.is_us(service),
                Whom::Group(_) => false,
            };
            ours && watermark.plain_until <= mark.through && watermark.index <= oldest
        });
        self.watermarks = watermarks;
        gone
    }

    fn forget_the_rest(&mut self, mark: &PurgeMark, room: usize) -> usize {
        let window_ms = unsigned(self.config.refresh_replay_window).saturating_mul(1_000);
        let stale =
            self.idempotency.iter().filter(|(_, entry)| entry.at_ms.saturating_add(window_ms) < mark.at_ms);
        let stale: Vec<_> = stale.map(|(key, _)| *key).take(room).collect();
        for key in &stale {
            self.idempotency.remove(key);
        }
        // A redeemed join token is kept as long as its node still waits: the node may ask again.
        let waits = |node: u64| self.nodes.get(&node).is_some_and(|node| node.role == NodeRole::Admitted);
        let over = self.join_tokens.values().filter(|token| token.expires_at <= mark.through);
        let over = over.filter(|token| !token.redeemed.as_ref().is_some_and(|redeemed| waits(redeemed.node)));
        let over: Vec<_> = over.map(|token| token.hash).collect();
        for hash in &over {
            self.join_tokens.remove(hash);
        }
        stale.len().saturating_add(over.len()).min(room)
    }
}
