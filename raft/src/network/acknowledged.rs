//! What others have shown us to be on their disks, so that a disk set back is noticed.
//!
//! Two things can be held against a node. What it has acknowledged to a leader it can't lack under the same leader, since
//! acknowledged means durable. And what it has told of itself as final, its term and the last entry that it held and knew
//! to be decided, never shrinks, whoever leads: a term only grows, and a decided entry stays in every log that has it. A
//! node that falls behind either was set back, and may have voted for or confirmed what it no longer knows; it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use openraft::AsyncRuntime;
use openraft::alias::{LogIdOf, VoteOf};
use serde::{Deserialize, Serialize};

use crate::defects::Defects;
use crate::types::{NodeId, Types};

/// A term and an index: entries are ordered by them, along any log.
pub(crate) type Place = (u64, u64);

/// What a node has on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The term in which it voted last.
    pub(crate) term: u64,
    /// The last entry of its log.
    pub(crate) last: Place,
    /// The last entry that it holds and knows to be decided.
    pub(crate) decided: Place,
}

impl Standing {
    /// Whether a disk that once held what `self` says can't hold what `now` says.
    fn is_lost_in(&self, now: &Self) -> bool {
        now.term < self.term || now.last < self.decided
    }

    fn joined(self, now: Self) -> Self {
        Self { term: self.term.max(now.term), last: now.last, decided: self.decided.max(now.decided) }
    }
}

/// What each node has shown us. In memory only: it ends with our process, and outlasts every leader.
pub(crate) struct Acknowledged<R: AsyncRuntime>(Mutex<Shown<R>>);

struct Shown<R: AsyncRuntime> {
    /// The greatest log id that each follower acknowledged, and to which leadership of ours.
    records: BTreeMap<NodeId, Record<R>>,
    standings: BTreeMap<NodeId, Standing>,
    set_back: BTreeSet<NodeId>,
    /// Nothing is held against anybody, where that defect is asked for.
    forgives: bool,
}

struct Record<R: AsyncRuntime> {
    vote: VoteOf<Types<R>>,
    last: LogIdOf<Types<R>>,
}

impl<R: AsyncRuntime> Acknowledged<R> {
    /// Nothing has been shown yet.
    pub(crate) fn new(defects: Defects) -> Self {
        let (records, standings, set_back) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self(Mutex::new(Shown { records, standings, set_back, forgives: defects.log_reversion }))
    }

    fn lock(&self) -> MutexGuard<'_, Shown<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A follower has everything up to `last`.
    pub(crate) fn note(&self, id: NodeId, vote: VoteOf<Types<R>>, last: LogIdOf<Types<R>>) {
        let mut shown = self.lock();
        let record = shown.records.entry(id).or_insert(Record { vote, last });
        if record.vote != vote || record.last < last {
            (record.vote, record.last) = (vote, last);
        }
    }

    /// A follower lacks `at`. True if it had acknowledged it to the same leadership; it is refused from now on.
    pub(crate) fn lacks(&self, id: NodeId, vote: &VoteOf<Types<R>>, at: &LogIdOf<Types<R>>) -> bool {
        let mut shown = self.lock();
        let Some(record) = shown.records.get(&id) else { return false };
        let acknowledged = record.last.index;
        if record.vote == *vote && *at <= record.last {
            shown.accuse(id, &format!("it had acknowledged {acknowledged}, and lacks {}", at.index));
        }
        shown.set_back.contains(&id)
    }

    /// What a node has told of its disk so far. Look at it before asking: an answer to a question that was asked later
    /// tells of a later moment, however long anything takes on its way.
    pub(crate) fn standing(&self, id: NodeId) -> Option<Standing> {
        self.lock().standings.get(&id).copied()
    }

    /// A node tells what is on its disk, asked when we already knew `before`.
    pub(crate) fn compare(&self, id: NodeId, before: Option<Standing>, now: Standing) {
        let mut shown = self.lock();
        if let Some(before) = before.filter(|before| before.is_lost_in(&now)) {
            shown.accuse(id, &format!("it had {before:?} on its disk, and has {now:?}"));
            return;
        }
        let joined = shown.standings.get(&id).map_or(now, |known| known.joined(now));
        shown.standings.insert(id, joined);
    }

    /// Whether a node was found to lack what had been on its disk.
    pub(crate) fn is_set_back(&self, id: NodeId) -> bool {
        self.lock().set_back.contains(&id)
    }
}

impl<R: AsyncRuntime> Shown<R> {
    fn accuse(&mut self, id: NodeId, why: &str) {
        if !self.forgives && self.set_back.insert(id) {
            tracing::error!(id, why, "the disk of a node went back: remove it and let it join again");
        }
    }
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId;
    use openraft_rt_tokio::TokioRuntime;

    use super::*;

    type Vote = VoteOf<Types<TokioRuntime>>;
    type LogId = LogIdOf<Types<TokioRuntime>>;

    fn vote(term: u64) -> Vote {
        Vote::new_committed(term, 1)
    }

    fn log_id(term: u64, index: u64) -> LogId {
        LogId::new(openraft::impls::leader_id_std::LeaderId::new(term, 1).to_committed(), index)
    }

    #[test]
    fn lacking_what_was_acknowledged_to_the_same_leadership_is_noticed() {
        let acknowledged = Acknowledged::<TokioRuntime>::new(Defects::default());
        assert!(!acknowledged.lacks(2, &vote(1), &log_id(1, 3)), "nothing is known of it");
        acknowledged.note(2, vote(1), log_id(1, 9));
        acknowledged.note(2, vote(1), log_id(1, 7));
        assert!(!acknowledged.lacks(2, &vote(1), &log_id(1, 10)), "it had never acknowledged that");
        assert!(!acknowledged.lacks(2, &vote(2), &log_id(1, 9)), "another leader may have overwritten it");
        assert!(!acknowledged.is_set_back(2));
        assert!(acknowledged.lacks(2, &vote(1), &log_id(1, 9)));
        assert!(acknowledged.is_set_back(2));
    }

    fn standing(term: u64, last: Place, decided: Place) -> Standing {
        Standing { term, last, decided }
    }

    #[test]
    fn what_was_decided_or_voted_never_shrinks_whoever_leads() {
        let well = |now: Standing| {
            let acknowledged = Acknowledged::<TokioRuntime>::new(Defects::default());
            acknowledged.compare(2, None, standing(5, (4, 30), (4, 20)));
            acknowledged.compare(2, acknowledged.standing(2), now);
            !acknowledged.is_set_back(2)
        };
        assert!(well(standing(5, (4, 30), (4, 20))));
        assert!(
            well(standing(6, (4, 20), (0, 0))),
            "what was not decided was overwritten, and it started anew"
        );
        assert!(well(standing(6, (6, 25), (6, 25))), "a later leader's shorter log");
        assert!(!well(standing(6, (4, 19), (4, 19))));
        assert!(!well(standing(4, (4, 30), (4, 20))), "it voted in term 5");
    }

    #[test]
    fn an_answer_that_was_late_accuses_nobody() {
        let acknowledged = Acknowledged::<TokioRuntime>::new(Defects::default());
        let asked_early = acknowledged.standing(2);
        acknowledged.compare(2, acknowledged.standing(2), standing(5, (5, 30), (5, 30)));
        acknowledged.compare(2, asked_early, standing(4, (4, 10), (4, 10)));
        assert!(!acknowledged.is_set_back(2));
        assert_eq!(
            acknowledged.standing(2).map(|known| known.decided),
            Some((5, 30)),
            "and takes nothing back"
        );
    }
}
