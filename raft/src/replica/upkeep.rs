//! What a replica does unasked: compare clocks, give caught-up learners their vote, take snapshots, purge.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use openraft::{AsyncRuntime, ChangeMembers};

use crate::machine::Machine;
use crate::network::wire::{Ask, Change, Said};
use crate::replica::{Replica, lock};
use crate::snapshot_file::FileMachine;
use crate::types::{NodeId, Peer};

/// Clocks are compared this often.
const CLOCKS: Duration = Duration::from_secs(1);

/// A node that takes longer to tell its time says nothing exact.
const CLOCK_WAIT: Duration = Duration::from_millis(500);

/// The rest is looked after this often.
const UPKEEP: Duration = Duration::from_millis(250);

/// A learner this close to the end of the log has caught up.
const LAG_ENTRIES_MAX: u64 = 100;

/// A snapshot that has not come after so many looks, a minute, was not written, and is asked for again.
const SNAPSHOT_LOOKS: u32 = 240;

/// A change of the voters is taken for abandoned after so many looks, two seconds.
const HALF_DONE_LOOKS: u32 = 8;

/// The log is purged in steps of this many entries: one large purge stalls the store.
const PURGE_STEP: u64 = 2_000;

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    pub(super) async fn watch_clocks(&self) {
        let mut alarmed = false;
        loop {
            self.compare_clocks().await;
            let off = self.median_ms().filter(|ms| ms.unsigned_abs() > self.settings.clock_offset_ms_max);
            if let Some(median_ms) = off
                && !alarmed
            {
                tracing::error!(median_ms, "this node's clock is off: the median of the voters differs");
            }
            alarmed = off.is_some();
            R::sleep(CLOCKS).await;
        }
    }

    /// Asks every other member for its time, and what is on its disk.
    pub async fn compare_clocks(&self) {
        let others: Vec<(NodeId, Peer)> = self.metrics(|metrics| {
            let members = metrics.membership_config.membership().nodes();
            members.filter(|(id, _)| **id != self.id).map(|(id, peer)| (*id, peer.clone())).collect()
        });
        if others.is_empty() {
            lock(&self.dater).compare(&self.dating());
        }
        join_all(others.into_iter().map(|(id, peer)| self.compare_with(id, peer))).await;
    }

    /// Asks one of them.
    pub(super) async fn compare_with(&self, id: NodeId, peer: Peer) {
        let before = self.acknowledged.standing(id);
        let asked = self.clocks.now();
        let answer = self.calls.call(id, &peer, Ask::Clock, CLOCK_WAIT).await;
        if let Ok(Said::Clock { wall_ms, standing }) = answer {
            lock(&self.offsets).note(id, wall_ms, asked, self.clocks.now());
            let dating = self.dating();
            lock(&self.dater).compare(&dating);
            self.acknowledged.compare(id, before, standing);
        }
    }

    pub(super) async fn keep_up(&self) {
        let mut asked = Asked::default();
        let mut half_done = HalfDone::default();
        let mut handed_over = None;
        loop {
            R::sleep(UPKEEP).await;
            self.note_addresses();
            self.leave_a_bad_disk(&mut handed_over).await;
            self.finish_change(&mut half_done).await;
            self.promote_caught_up().await;
            self.take_snapshot(&mut asked).await;
            self.purge().await;
        }
    }

    fn note_addresses(&self) {
        let addresses = self.metrics(|metrics| {
            let nodes = metrics.membership_config.membership().nodes();
            nodes.map(|(id, peer)| (*id, peer.peer_address.clone())).collect()
        });
        self.addresses.record(addresses, self.clocks.now().boot_ms);
    }

    /// Finishes a change of the voters whose leader was lost between its two entries. Until somebody does, two sets of
    /// voters decide together, and a node that was to get a vote, or to lose it, is stuck in between.
    async fn finish_change(&self, half_done: &mut HalfDone) {
        let joint = self.metrics(|metrics| {
            let stored = &metrics.membership_config;
            let leads = metrics.current_leader == Some(self.id);
            let two_sets = stored.membership().get_joint_config().len() > 1;
            let committed = stored.log_id().as_ref() <= metrics.last_applied.as_ref();
            let at = stored.log_id().as_ref().map(|log_id| log_id.index);
            at.filter(|_| leads && two_sets && committed)
        });
        if !half_done.is_stuck(joint) || self.defects.half_done_changes {
            return;
        }
        let nobody = ChangeMembers::AddVoterIds(BTreeSet::new());
        match self.raft.change_membership(nobody, false).await {
            Ok(_) => tracing::info!("finished a change of the voters that a lost leader had begun"),
            Err(error) => {
                tracing::warn!(%error, "a change of the voters that was begun can't be finished yet");
            }
        }
    }

    async fn promote_caught_up(&self) {
        let caught_up: Vec<NodeId> = self.metrics(|metrics| {
            let (Some(replication), Some(last)) = (&metrics.replication, metrics.last_log_index) else {
                return Vec::new();
            };
            let near = |id: &NodeId| {
                let matched = replication.get(id).and_then(Option::as_ref);
                matched.is_some_and(|log_id| log_id.index + LAG_ENTRIES_MAX >= last)
            };
            metrics.membership_config.membership().learner_ids().filter(near).collect()
        });
        let view = self.board.load();
        let caught_up: Vec<NodeId> =
            caught_up.into_iter().filter(|id| M::may_vote(&view.view, *id)).collect();
        drop(view);
        for id in caught_up {
            match self.change_here(Change::Promote(id)).await {
                Said::Changed => tracing::info!(id, "a learner has caught up and votes from now on"),
                Said::Refused(reason) => tracing::warn!(id, reason, "a learner can't be given its vote"),
                _ => {}
            }
        }
    }

    /// Takes a snapshot when the log since the last has outgrown it.
    async fn take_snapshot(&self, asked: &mut Asked) {
        let threshold = self.settings.snapshot_log_bytes.max(self.journal.snapshot_bytes());
        if self.journal.log_bytes() <= threshold {
            return;
        }
        let (applied, snapshot) = self.metrics(|metrics| {
            (metrics.last_applied.map(|log_id| log_id.index), metrics.snapshot.map(|log_id| log_id.index))
        });
        if applied > snapshot && asked.is_due(applied, snapshot) {
            // A failure is fatal to raft itself and is seen there.
            let _ = self.raft.trigger().snapshot().await;
        }
    }

    async fn purge(&self) {
        let Some(upto) = self.journal.purgeable() else { return };
        let purged = self.metrics(|metrics| metrics.purged.map_or(0, |log_id| log_id.index));
        if upto > purged {
            let _ = self.raft.trigger().purge_log(upto.min(purged + PURGE_STEP)).await;
        }
    }
}

/// A change of the voters that may be half done.
#[derive(Default)]
struct HalfDone {
    /// The index of its first entry.
    at: Option<u64>,
    /// How often it was seen so.
    looks: u32,
}

impl HalfDone {
    /// Whether nobody is working on it: seen for as long as the change itself may take.
    fn is_stuck(&mut self, at: Option<u64>) -> bool {
        self.looks = if at.is_some() && at == self.at { self.looks.saturating_add(1) } else { 0 };
        self.at = at;
        self.looks >= HALF_DONE_LOOKS
    }
}

/// The last snapshot that was asked for.
#[derive(Default)]
struct Asked {
    /// The index that was applied then.
    at: Option<u64>,
    /// How often was looked for it since.
    looks: u32,
}

impl Asked {
    /// Whether to ask now: not while one may be under way, but again when it has come, or is not to be expected any
    /// more. One that takes longer is not begun twice: openraft builds one at a time.
    fn is_due(&mut self, applied: Option<u64>, snapshot: Option<u64>) -> bool {
        let under_way = self.at.is_some_and(|at| snapshot.is_none_or(|taken| taken < at));
        self.looks = self.looks.saturating_add(1);
        if under_way && self.looks < SNAPSHOT_LOOKS {
            return false;
        }
        *self = Self { at: applied, looks: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, HALF_DONE_LOOKS, HalfDone, SNAPSHOT_LOOKS};

    #[test]
    fn a_change_is_abandoned_when_its_first_entry_has_long_been_the_last() {
        let mut half_done = HalfDone::default();
        let looks =
            |half_done: &mut HalfDone, at| (0..=HALF_DONE_LOOKS).filter(|_| half_done.is_stuck(at)).count();
        assert_eq!(looks(&mut half_done, Some(7)), 1, "the last of them");
        assert!(!half_done.is_stuck(Some(9)), "another change");
        assert!(!half_done.is_stuck(None));
        assert_eq!(looks(&mut half_done, None), 0);
    }

    #[test]
    fn a_snapshot_is_asked_for_once_and_again_when_it_came_or_failed() {
        let mut asked = Asked::default();
        assert!(asked.is_due(Some(100), None));
        assert!(!asked.is_due(Some(150), None), "it is under way");
        assert!(asked.is_due(Some(200), Some(100)), "it came");
        // This one is never written.
        let looks = (1..=SNAPSHOT_LOOKS).find(|_| asked.is_due(Some(300), Some(100)));
        assert_eq!(looks, Some(SNAPSHOT_LOOKS));
        assert!(!asked.is_due(Some(310), Some(100)));
        assert!(asked.is_due(Some(320), Some(300)), "the second attempt succeeded");
    }
}
