//! How a node that slept while others joined comes to let them in.
//!
//! Its own log doesn't know the newcomers, and if one of them leads, nobody else would ever bring the log up to date. So
//! it asks those whom it does know, over connections that it dials itself and whose keys it has pinned, who belongs to
//! the cluster now. Each answers only after a quorum has confirmed its own view, which nobody can who was removed. Where
//! too few can, the latest list of members counts that any of them has (`raft/src/replica/roster.rs`).
//! ARCHITECTURE.md has the argument whom that lets in, and whom not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use openraft::AsyncRuntime;

use crate::machine::Machine;
use crate::network::wire::{Ask, Said};
use crate::replica::{Replica, lock};
use crate::snapshot_file::FileMachine;
use crate::types::{NodeId, Peer};

/// Others are asked this often at most, however many strangers knock.
const LOOK: Duration = Duration::from_millis(250);

/// An answer may take this long: whoever is asked has to hear from its leader, and that from a quorum.
pub(super) const ANSWER_WAIT: Duration = Duration::from_millis(1_500);

/// A view that was proved fresh this lately holds every member, so a stranger is a stranger.
const CURRENT_MS_MAX: u64 = 1_000;

/// An introduction counts for this long.
const COUNTS_MS: u64 = 30_000;

/// And is asked for anew after this long, as long as it is needed.
const RENEW_MS: u64 = 10_000;

/// Between two looks at what has been applied.
const CATCH_UP: Duration = Duration::from_millis(5);

pub(super) type Members = BTreeMap<NodeId, Peer>;

/// Who is let in on the word of others.
#[derive(Default)]
pub(super) struct Introductions {
    /// Somebody came whom we may have to be introduced to.
    wanted: AtomicBool,
    /// When others named them, on our boot clock, and whom.
    named: Mutex<(u64, Members)>,
}

impl Introductions {
    /// What others said of a node, if that still counts.
    fn look_up(&self, id: NodeId, boot_ms: u64) -> Option<Peer> {
        let named = lock(&self.named);
        let age_ms = boot_ms.saturating_sub(named.0);
        let peer = named.1.get(&id).filter(|_| age_ms <= COUNTS_MS).cloned();
        if peer.is_none() || age_ms > RENEW_MS {
            self.wanted.store(true, Ordering::SeqCst);
        }
        peer
    }

    /// All whom others named, if that still counts.
    fn all(&self, boot_ms: u64) -> Members {
        let named = lock(&self.named);
        if boot_ms.saturating_sub(named.0) <= COUNTS_MS { named.1.clone() } else { Members::new() }
    }
}

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// A node that our log doesn't know, if those whom it knows have named it lately; they are asked otherwise.
    pub(super) fn introduced_by_others(&self, id: NodeId) -> Option<Peer> {
        self.introductions.look_up(id, self.clocks.now().boot_ms)
    }

    /// Asks around when somebody came whom we don't know.
    pub(super) async fn keep_acquaintance(&self) {
        loop {
            R::sleep(LOOK).await;
            let wanted = self.introductions.wanted.swap(false, Ordering::SeqCst);
            if wanted && !self.is_current() {
                self.ask_who_belongs().await;
            }
        }
    }

    /// Whether our own log must know every member.
    fn is_current(&self) -> bool {
        self.board.load().age_ms(self.clocks.now()).is_some_and(|age_ms| age_ms <= CURRENT_MS_MAX)
    }

    async fn ask_who_belongs(&self) {
        let begun = self.clocks.now().boot_ms;
        let confirmed = self.confirmed_members().await;
        let by_a_quorum = confirmed.is_some();
        let members = match confirmed {
            Some(members) => members,
            None => match self.latest_roster(&self.acquaintances(begun)).await {
                Some(members) => members,
                None => return,
            },
        };
        let unknown: Vec<NodeId> = members.keys().copied().filter(|id| self.known(*id).is_none()).collect();
        tracing::info!(?unknown, by_a_quorum, "introduced to nodes that joined meanwhile");
        *lock(&self.introductions.named) = (begun, members);
    }

    /// Whom those name whom we go by, confirmed by a quorum.
    async fn confirmed_members(&self) -> Option<Members> {
        let sets = self.those_we_go_by();
        let others = sets.iter().flatten().filter(|id| **id != self.id);
        let others: Members = others.filter_map(|id| Some((*id, self.known(*id)?))).collect();
        let asked = others.iter().map(|(id, peer)| async move {
            match self.calls.call(*id, peer, Ask::Members, ANSWER_WAIT).await {
                Ok(Said::Members(members)) => Some((*id, members)),
                _ => None,
            }
        });
        let answers = join_all(asked).await.into_iter().flatten().collect();
        agreed(self.id, &sets, &answers)
    }

    /// Everybody else whom we let in, as a member or as introduced; our own log is right about their keys.
    fn acquaintances(&self, boot_ms: u64) -> Members {
        let mut all = self.introductions.all(boot_ms);
        self.metrics(|metrics| {
            let membership = metrics.membership_config.membership();
            if membership.get_node(&self.id).is_none() {
                all.extend(self.introduced.iter().cloned());
            }
            all.extend(membership.nodes().map(|(id, peer)| (*id, peer.clone())));
        });
        all.retain(|id, _| *id != self.id && self.removal(*id).is_none());
        all
    }

    /// Each set of voters that our log knows; while it doesn't hold ourselves, those that we were told of when we
    /// joined.
    fn those_we_go_by(&self) -> Vec<BTreeSet<NodeId>> {
        self.metrics(|metrics| {
            let membership = metrics.membership_config.membership();
            if membership.get_node(&self.id).is_none() && !self.introduced.is_empty() {
                return vec![self.introduced.iter().map(|(id, _)| *id).collect()];
            }
            membership.get_joint_config().clone()
        })
    }

    /// The members as of a moment after we were asked: decided, and confirmed by a quorum.
    pub(super) async fn members_as_confirmed(&self) -> Said<R> {
        let proved = match self.fresh(None).await {
            Ok(proved) => proved.index,
            Err(error) => return Said::Unavailable(error.to_string()),
        };
        let wait = Duration::from_millis(self.settings.fresh_wait_ms);
        match R::timeout(wait, self.members_at(proved)).await {
            Ok(members) => Said::Members(members),
            Err(_) => Said::Unavailable("a change of the members is under way".to_owned()),
        }
    }

    /// The members, once openraft too has applied `index` and what it says of them is decided.
    async fn members_at(&self, index: u64) -> Members {
        loop {
            let decided = self.metrics(|metrics| {
                let stored = &metrics.membership_config;
                let applied = metrics.last_applied.as_ref();
                let reached = applied.is_some_and(|applied| applied.index >= index);
                let members = stored.membership().nodes().map(|(id, peer)| (*id, peer.clone()));
                (reached && stored.log_id().as_ref() <= applied).then(|| members.collect())
            });
            if let Some(members) = decided {
                return members;
            }
            R::sleep(CATCH_UP).await;
        }
    }
}

/// Those whom every answer names alike. It takes as many answers as it would take votes to lead us: with our own voice a
/// majority of every set of voters that we know, and each of them must be named by all the others. Whoever is contradicted
/// doesn't count.
fn agreed(us: NodeId, sets: &[BTreeSet<NodeId>], answers: &BTreeMap<NodeId, Members>) -> Option<Members> {
    let (first, rest) = answers.iter().next().map(|(_, first)| (first, answers.values().skip(1)))?;
    let others: Vec<&Members> = rest.collect();
    let same = |id: &NodeId, peer: &Peer| others.iter().all(|other| other.get(id) == Some(peer));
    let common: Members =
        first.iter().filter(|(id, peer)| same(id, peer)).map(|(id, peer)| (*id, peer.clone())).collect();
    let speaks = |id: &&NodeId| **id == us || (answers.contains_key(id) && common.contains_key(id));
    let enough = |set: &BTreeSet<NodeId>| set.iter().filter(speaks).count() * 2 > set.len();
    (!sets.is_empty() && sets.iter().all(enough)).then_some(common)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(ids: &[NodeId]) -> Members {
        ids.iter().map(|id| (*id, Peer { name: id.to_string(), ..Peer::default() })).collect()
    }

    fn ask(us: NodeId, sets: &[&[NodeId]], answers: &[(NodeId, &[NodeId])]) -> Option<Vec<NodeId>> {
        let sets: Vec<BTreeSet<NodeId>> = sets.iter().map(|set| set.iter().copied().collect()).collect();
        let answers = answers.iter().map(|(id, ids)| (*id, members(ids))).collect();
        agreed(us, &sets, &answers).map(|common| common.into_keys().collect())
    }

    #[test]
    fn as_many_must_name_a_newcomer_as_could_elect_it_over_us() {
        let three: &[&[NodeId]] = &[&[1, 2, 3]];
        assert_eq!(ask(3, three, &[]), None);
        assert_eq!(ask(3, three, &[(2, &[2, 3, 9])]), Some(vec![2, 3, 9]), "one was replaced");
        let five: &[&[NodeId]] = &[&[1, 2, 3, 4, 5]];
        assert_eq!(ask(5, five, &[(4, &[4, 5, 9])]), None, "one of five others");
        assert_eq!(ask(5, five, &[(3, &[3, 4, 5, 9]), (4, &[3, 4, 5, 9])]), Some(vec![3, 4, 5, 9]));
        assert_eq!(ask(9, three, &[(2, &[1, 2, 9])]), None, "we have no voice among them");
        let two_sets: &[&[NodeId]] = &[&[1, 2, 3], &[3, 4, 5]];
        assert_eq!(ask(3, two_sets, &[(2, &[2, 3, 9])]), None, "a majority of one set only");
    }

    #[test]
    fn whoever_is_contradicted_introduces_nobody() {
        let three: &[&[NodeId]] = &[&[1, 2, 3]];
        let removed_and_present: &[(NodeId, &[NodeId])] = &[(1, &[1, 2, 3, 66]), (2, &[2, 3, 9])];
        assert_eq!(ask(3, three, removed_and_present), Some(vec![2, 3]), "neither 66 nor, yet, 9");
        assert_eq!(ask(3, three, &[(1, &[1, 3, 66]), (2, &[2, 3])]), None, "word against word");
        let other = Peer { name: "other".to_owned(), ..Peer::default() };
        let answers = BTreeMap::from([
            (1, members(&[1, 2, 9])),
            (2, members(&[1, 2]).into_iter().chain([(9, other)]).collect()),
        ]);
        let common = agreed(3, &[BTreeSet::from([1, 2, 3])], &answers).unwrap();
        assert_eq!(common.into_keys().collect::<Vec<_>>(), [1, 2], "not under two keys");
    }

    #[test]
    fn an_introduction_ends_and_is_renewed_before() {
        let introductions = Introductions::default();
        assert_eq!(introductions.look_up(9, 1_000_000), None);
        assert!(introductions.wanted.swap(false, Ordering::SeqCst), "whoever is not known is asked for");
        *lock(&introductions.named) = (1_000_000, members(&[9]));
        assert!(introductions.look_up(9, 1_000_000 + RENEW_MS).is_some());
        assert!(!introductions.wanted.load(Ordering::SeqCst));
        assert!(introductions.look_up(9, 1_000_000 + COUNTS_MS).is_some());
        assert!(introductions.wanted.load(Ordering::SeqCst));
        assert_eq!(introductions.look_up(9, 1_000_001 + COUNTS_MS), None);
    }
}
