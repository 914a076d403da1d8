//! Whom the logs of others name, where no quorum can confirm who belongs.
//!
//! There may be no leader, and the only node that can be elected one that joined while we slept: we have to let it in
//! first. The word of one whom we let in is enough for that, without proof that it is fresh. Its log is read as we would
//! read our own: whom it names it lets in itself, and whoever can lead it can through it lead us. How many votes it takes
//! to decide anything is for the log to say, whoever is connected with whom.

use std::time::Duration;

use futures::future::join_all;
use openraft::AsyncRuntime;

use crate::machine::Machine;
use crate::network::acknowledged::Place;
use crate::network::roster::{Roster, hear, tell};
use crate::network::{Channel, Lane};
use crate::replica::introduction::{ANSWER_WAIT, Members};
use crate::replica::{Replica, place};
use crate::snapshot_file::FileMachine;
use crate::types::{NodeId, Peer};

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Tells a node that was let in whom our log names.
    pub(super) async fn tell_roster(&self, channel: Channel) {
        tell::<R>(channel, &self.roster(), Duration::from_millis(self.settings.dial_timeout_ms)).await;
    }

    /// The latest that any of these has, if it is later than ours.
    pub(super) async fn latest_roster(&self, those: &Members) -> Option<Members> {
        let heard = join_all(those.iter().map(|(id, peer)| self.roster_of(*id, peer))).await;
        latest(self.roster().at, heard.into_iter().flatten().collect())
    }

    async fn roster_of(&self, id: NodeId, peer: &Peer) -> Option<Roster> {
        let asking = async { hear(self.dial.dial(id, peer, Lane::Roster).await.ok()?).await };
        R::timeout(ANSWER_WAIT, asking).await.ok().flatten()
    }

    /// Ours, decided or not: it is what an election here goes by.
    fn roster(&self) -> Roster {
        self.metrics(|metrics| {
            let stored = &metrics.membership_config;
            let members = stored.membership().nodes().map(|(id, peer)| (*id, peer.clone()));
            Roster {
                at: stored.log_id().as_ref().map(place::<R>).unwrap_or_default(),
                members: members.collect(),
            }
        })
    }
}

/// The members of the latest, which may have let go of some whom an earlier one names. Two that differ about one entry
/// can't both be true: then nobody is named.
fn latest(ours: Place, heard: Vec<Roster>) -> Option<Members> {
    let at = heard.iter().map(|roster| roster.at).max().filter(|at| *at > ours)?;
    let mut latest = heard.into_iter().filter(|roster| roster.at == at);
    let first = latest.next()?;
    latest.all(|other| other == first).then_some(first.members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(at: Place, ids: &[NodeId]) -> Roster {
        let members = ids.iter().map(|id| (*id, Peer { name: id.to_string(), ..Peer::default() }));
        Roster { at, members: members.collect() }
    }

    fn named(ours: Place, heard: &[Roster]) -> Option<Vec<NodeId>> {
        latest(ours, heard.to_vec()).map(|members| members.into_keys().collect())
    }

    #[test]
    fn one_that_has_heard_of_more_is_believed_over_those_that_have_not() {
        let asleep = roster((1, 15), &[1, 2, 3]);
        let awake = roster((1, 69), &[1, 2, 3, 4]);
        assert_eq!(named((1, 15), &[]), None);
        assert_eq!(named((1, 15), std::slice::from_ref(&asleep)), None, "nothing that we don't know");
        assert_eq!(named((1, 15), &[asleep.clone(), awake.clone()]), Some(vec![1, 2, 3, 4]));
        assert_eq!(named((1, 69), &[asleep, awake]), None);
    }

    #[test]
    fn whoever_was_removed_is_not_let_in_where_anybody_has_heard_of_that() {
        let before = roster((1, 69), &[1, 2, 3, 66]);
        let after = roster((2, 80), &[1, 2, 3]);
        assert_eq!(named((1, 15), &[before.clone(), after.clone()]), Some(vec![1, 2, 3]));
        assert_eq!(named((2, 80), &[before]), None, "also where only we have");
        let rewritten = roster((3, 70), &[1, 2, 3, 4]);
        assert_eq!(named((1, 15), &[after, rewritten]), Some(vec![1, 2, 3, 4]), "the later term counts");
    }

    #[test]
    fn two_that_differ_about_one_entry_name_nobody() {
        let (one, other) = (roster((1, 69), &[1, 2, 3, 4]), roster((1, 69), &[1, 2, 3, 66]));
        assert_eq!(named((1, 15), &[one.clone(), other]), None);
        assert_eq!(named((1, 15), &[one.clone(), one]), Some(vec![1, 2, 3, 4]));
    }
}
