//! What followers have acknowledged to us while we lead, so that a disk set back is noticed.
//!
//! A follower that has acknowledged an entry to a leader can't lack it under the same leader: acknowledged means
//! durable. One that does was set back, and may have voted or confirmed what it no longer knows; it is refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use openraft::AsyncRuntime;
use openraft::alias::{LogIdOf, VoteOf};

use crate::types::{NodeId, Types};

/// The greatest log id that each follower acknowledged, and to which leadership of ours.
pub(crate) struct Acknowledged<R: AsyncRuntime>(Mutex<BTreeMap<NodeId, Record<R>>>);

struct Record<R: AsyncRuntime> {
    vote: VoteOf<Types<R>>,
    last: LogIdOf<Types<R>>,
    set_back: bool,
}

impl<R: AsyncRuntime> Default for Acknowledged<R> {
    fn default() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }
}

impl<R: AsyncRuntime> Acknowledged<R> {
    /// A follower has everything up to `last`.
    pub(crate) fn note(&self, id: NodeId, vote: VoteOf<Types<R>>, last: LogIdOf<Types<R>>) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let record = records.entry(id).or_insert(Record { vote, last, set_back: false });
        if record.vote != vote || record.last < last {
            (record.vote, record.last) = (vote, last);
        }
    }

    /// A follower lacks `at`. True if it had acknowledged it to the same leadership; it is refused from now on.
    pub(crate) fn lacks(&self, id: NodeId, vote: &VoteOf<Types<R>>, at: &LogIdOf<Types<R>>) -> bool {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(record) = records.get_mut(&id) else { return false };
        if record.vote == *vote && *at <= record.last && !record.set_back {
            record.set_back = true;
            tracing::error!(
                id,
                acknowledged = record.last.index,
                "the log of a node went back behind what it had acknowledged: remove it and let it join again"
            );
        }
        record.set_back
    }

    /// Whether a follower was found to lack what it had acknowledged.
    pub(crate) fn is_set_back(&self, id: NodeId) -> bool {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.get(&id).is_some_and(|record| record.set_back)
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
        let acknowledged = Acknowledged::<TokioRuntime>::default();
        assert!(!acknowledged.lacks(2, &vote(1), &log_id(1, 3)), "nothing is known of it");
        acknowledged.note(2, vote(1), log_id(1, 9));
        acknowledged.note(2, vote(1), log_id(1, 7));
        assert!(!acknowledged.lacks(2, &vote(1), &log_id(1, 10)), "it had never acknowledged that");
        assert!(!acknowledged.lacks(2, &vote(2), &log_id(1, 9)), "another leader may have overwritten it");
        assert!(!acknowledged.is_set_back(2));
        assert!(acknowledged.lacks(2, &vote(1), &log_id(1, 9)));
        assert!(acknowledged.is_set_back(2));
    }
}
