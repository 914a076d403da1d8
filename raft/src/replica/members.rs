//! Who belongs to the cluster: changes are made by the leader, asked for from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::raft::ClientWriteResponse;
use openraft::{AsyncRuntime, ChangeMembers, Instant};

use crate::failure::MemberError;
use crate::machine::Machine;
use crate::network::calls::CallError;
use crate::network::wire::{Ask, Change, Said};
use crate::replica::Replica;
use crate::snapshot_file::FileMachine;
use crate::types::{NodeId, Peer, Types};

/// Between two attempts.
const RETRY: Duration = Duration::from_millis(50);

type Written<R> = Result<ClientWriteResponse<Types<R>>, RaftError<Types<R>, ClientWriteError<Types<R>>>>;

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Starts a new cluster with us as its only member.
    pub async fn initialize(&self, peer: Peer) -> Result<(), MemberError> {
        let members = BTreeMap::from([(self.id, peer)]);
        self.raft.initialize(members).await.map_err(|error| MemberError::Refused(error.to_string()))
    }

    /// Adds a node that receives the log; it is given a vote by itself once it has caught up.
    pub async fn add_learner(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        self.change(Change::AddLearner(id, peer)).await
    }

    /// Gives a learner its vote now.
    pub async fn promote(&self, id: NodeId) -> Result<(), MemberError> {
        self.change(Change::Promote(id)).await
    }

    /// Removes a member; its id never returns.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        self.change(Change::Remove(id)).await
    }

    /// Records other addresses of a member.
    pub async fn relocate(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        self.change(Change::Relocate(id, peer)).await
    }

    /// A member that says itself that it is elsewhere is dialled there from now on, whether that is ever decided or not.
    pub(super) fn hear_of_move(&self, from: NodeId, change: &Change) {
        if let Change::Relocate(id, peer) = change
            && *id == from
            && self.peer(from).is_some_and(|known| known.public_key == peer.public_key)
        {
            self.addresses.say(from, &peer.peer_address, self.clocks.now().boot_ms);
        }
    }

    /// Hands leadership to a voter.
    pub async fn transfer(&self, to: NodeId) -> Result<(), MemberError> {
        self.change(Change::Transfer(to)).await
    }

    /// Has the leader change the membership; every change may be repeated.
    async fn change(&self, change: Change) -> Result<(), MemberError> {
        let wait = Duration::from_millis(self.settings.propose_timeout_ms * 2);
        match R::timeout(wait, self.ask_for_change(change)).await {
            Ok(result) => result,
            Err(_) => Err(MemberError::Unavailable("no leader made it in time".to_owned())),
        }
    }

    async fn ask_for_change(&self, change: Change) -> Result<(), MemberError> {
        let ttl = Duration::from_millis(self.settings.propose_timeout_ms);
        loop {
            let said = match self.ask_leader(Ask::Change(change.clone()), ttl).await {
                Said::NotLeader(_) => self.ask_every_voter(&change, ttl).await,
                said => said,
            };
            match said {
                Said::Changed => return Ok(()),
                Said::Refused(reason) => return Err(MemberError::Refused(reason)),
                Said::NotLeader(_) | Said::Unavailable(_) => R::sleep(RETRY).await,
                Said::Unknown(reason) | Said::Failed(reason) => return Err(MemberError::Unavailable(reason)),
                _ => return Err(MemberError::Unavailable("the leader answered another question".to_owned())),
            }
        }
    }

    /// Asks one voter after the other, of whom one may lead. A node that has moved hears no leader: nobody finds it.
    async fn ask_every_voter(&self, change: &Change, ttl: Duration) -> Said<R> {
        for id in self.voters().into_iter().filter(|id| *id != self.id) {
            let Some(peer) = self.peer(id) else { continue };
            match self.calls.call(id, &peer, Ask::Change(change.clone()), ttl).await {
                Ok(Said::NotLeader(_)) | Err(CallError::NotSent(_)) => {}
                Ok(said) => return said,
                Err(CallError::Lost(reason)) => return Said::Unknown(reason),
            }
        }
        Said::NotLeader(None)
    }

    /// The leader's part.
    pub(super) async fn change_here(&self, change: Change) -> Said<R> {
        let leader = self.leader();
        if leader != Some(self.id) {
            return Said::NotLeader(leader);
        }
        let ttl = Duration::from_millis(self.settings.propose_timeout_ms / 5 * 4);
        match R::timeout(ttl, self.change_as_leader(change)).await {
            Ok(said) => said,
            Err(_) => Said::Unknown("no quorum confirmed it in time".to_owned()),
        }
    }

    async fn change_as_leader(&self, change: Change) -> Said<R> {
        // What the members are after a change that isn't committed may never come true: it answers no question.
        if !matches!(change, Change::Transfer(_)) && !self.members_are_committed() {
            return Said::Unavailable("another change of the members is under way".to_owned());
        }
        let term = self.metrics(|metrics| metrics.current_term);
        let written = match change {
            Change::Transfer(to) => return self.transfer_to(to).await,
            Change::AddLearner(id, peer) => {
                if self.peer(id).is_some_and(|known| known == peer) {
                    return self.is_so_since(term).await;
                }
                // What was asked for before it was removed may have been under way since then.
                let removed = M::removed(&self.board.load().view, id).filter(|_| !self.defects.takes_back);
                if let Some(removal) = removed {
                    let index = removal.index;
                    return Said::Refused(format!(
                        "node {id} was removed at index {index} of the log: its id never returns"
                    ));
                }
                self.raft.add_learner(id, peer, false).await
            }
            Change::Promote(id) => {
                if self.votes_in_every_set(id) {
                    return self.is_so_since(term).await;
                }
                if !M::may_vote(&self.board.load().view, id) {
                    return Said::Refused(format!("node {id} joined as one that never votes"));
                }
                self.raft.change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([id])), false).await
            }
            Change::Relocate(id, peer) => {
                if self.peer(id).as_ref() == Some(&peer) {
                    return self.is_so_since(term).await;
                }
                if let Err(reason) = self.may_be_at(id, &peer) {
                    return Said::Refused(reason);
                }
                let change = ChangeMembers::SetNodes(BTreeMap::from([(id, peer)]));
                self.raft.change_membership(change, false).await
            }
            Change::Remove(id) => {
                if let Err(reason) = self.can_do_without(id).await {
                    return Said::Refused(reason);
                }
                if self.peer(id).is_none() {
                    // One that was admitted and never became a member is let go of by a membership that had it.
                    let admitted = M::admitted(&self.board.load().view);
                    let Some((_, peer)) = admitted.into_iter().find(|(known, _)| *known == id) else {
                        return self.is_so_since(term).await;
                    };
                    let added = self.raft.add_learner(id, peer, false).await;
                    if added.is_err() {
                        return said::<R>(added);
                    }
                }
                let only = BTreeSet::from([id]);
                let change = if self.voters().contains(&id) {
                    ChangeMembers::RemoveVoters(only)
                } else {
                    ChangeMembers::RemoveNodes(only)
                };
                self.raft.change_membership(change, false).await
            }
        };
        said::<R>(written)
    }

    /// The answer where the members are as asked for already, as we have seen in this term. A leader that slept may have been
    /// one long ago, and know neither who came since nor who went: a quorum has to confirm that we lead still.
    async fn is_so_since(&self, term: u64) -> Said<R> {
        match self.confirm_read_index(0).await {
            Said::ReadIndex { .. } if self.metrics(|metrics| metrics.current_term) == term => Said::Changed,
            Said::ReadIndex { .. } => Said::Unavailable("another term has begun".to_owned()),
            said => said,
        }
    }

    /// Whether a member may be recorded so: it stays who it is, and takes nobody's place.
    fn may_be_at(&self, id: NodeId, peer: &Peer) -> Result<(), String> {
        self.metrics(|metrics| {
            let membership = metrics.membership_config.membership();
            let Some(known) = membership.get_node(&id) else {
                return Err(format!("node {id} is not a member"));
            };
            if known.public_key != peer.public_key || known.name != peer.name {
                return Err(format!("node {id} is known under another key or name"));
            }
            let same =
                |(other, there): &(&NodeId, &Peer)| **other != id && there.peer_address == peer.peer_address;
            match membership.nodes().find(same) {
                Some((other, _)) => Err(format!("node {other} has the address {}", peer.peer_address)),
                None => Ok(()),
            }
        })
    }

    /// Whether those who answer would still be a majority without this voter. Only who answers from now on counts: one that
    /// died a moment ago has been heard just before, and with it taken for alive the change could begin and never end.
    async fn can_do_without(&self, id: NodeId) -> Result<(), String> {
        let asked = R::Instant::now();
        let silence = (self.settings.election_max_ms * 5).min(self.settings.propose_timeout_ms / 2);
        let silence = Duration::from_millis(silence);
        loop {
            let found = self.would_be_a_majority(id, asked);
            if found.is_ok() || asked.elapsed() > silence {
                return found;
            }
            R::sleep(RETRY / 5).await;
        }
    }

    /// Whether those who have answered what was sent since then would still be a majority without this voter.
    fn would_be_a_majority(&self, id: NodeId, since: R::Instant) -> Result<(), String> {
        self.metrics(|metrics| {
            let membership = metrics.membership_config.membership();
            let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
            let answers = |other: &NodeId| {
                let last = metrics.heartbeat.as_ref().and_then(|heard| heard.get(other).copied().flatten());
                *other == self.id || last.is_some_and(|last| *last >= since)
            };
            still_a_majority(id, &voters, answers)
        })
    }

    /// Whether the members that we go by are decided, and not only written to our own log.
    fn members_are_committed(&self) -> bool {
        self.metrics(|metrics| metrics.membership_config.log_id().as_ref() <= metrics.last_applied.as_ref())
    }

    /// During a change two sets of voters decide together; a vote is safe once it is in both.
    fn votes_in_every_set(&self, id: NodeId) -> bool {
        self.metrics(|metrics| {
            let sets = metrics.membership_config.membership().get_joint_config();
            sets.iter().all(|set| set.contains(&id))
        })
    }

    pub(super) fn voters(&self) -> BTreeSet<NodeId> {
        self.metrics(|metrics| metrics.membership_config.membership().voter_ids().collect())
    }

    /// Hands leadership to `to` and waits until it is gone.
    async fn transfer_to(&self, to: NodeId) -> Said<R> {
        if to == self.id {
            return Said::Changed;
        }
        if !self.voters().contains(&to) {
            return Said::Refused(format!("node {to} has no vote"));
        }
        if let Err(fatal) = self.raft.trigger().transfer_leader(to).await {
            return Said::Failed(fatal.to_string());
        }
        let wait = Duration::from_millis(self.settings.election_max_ms * 4);
        match R::timeout(wait, self.until_another_leads()).await {
            Ok(()) => Said::Changed,
            Err(_) => Said::Unknown(format!("node {to} didn't take over in time")),
        }
    }

    async fn until_another_leads(&self) {
        while self.leader().is_none_or(|leader| leader == self.id) {
            R::sleep(RETRY / 5).await;
        }
    }

    /// If we lead, hands over to the voter that has most of the log. Does nothing if there is nobody.
    pub(super) async fn hand_over(&self) {
        let voters = self.voters();
        self.hand_over_to_one_of(&voters).await;
    }

    /// The same, to one of these.
    pub(super) async fn hand_over_to_one_of(&self, voters: &BTreeSet<NodeId>) {
        if self.leader() != Some(self.id) {
            return;
        }
        let best = self.metrics(|metrics| {
            let replication = metrics.replication.as_ref()?;
            let others = replication.iter().filter(|(id, _)| **id != self.id && voters.contains(id));
            others.max_by_key(|(_, matched)| matched.as_ref().map(|log_id| log_id.index)).map(|(id, _)| *id)
        });
        if let Some(to) = best
            && let Said::Unknown(reason) = self.transfer_to(to).await
        {
            tracing::warn!(to, reason, "couldn't hand over leadership");
        }
    }
}

/// Whether the voters that answer are a majority when `id` is none of them any more.
fn still_a_majority(
    id: NodeId,
    voters: &BTreeSet<NodeId>,
    answers: impl Fn(&NodeId) -> bool,
) -> Result<(), String> {
    let left: BTreeSet<NodeId> = voters.iter().copied().filter(|voter| *voter != id).collect();
    let silent: Vec<String> = left.iter().filter(|voter| !answers(voter)).map(ToString::to_string).collect();
    if left.len() == voters.len() || (left.len() - silent.len()) * 2 > left.len() {
        return Ok(());
    }
    Err(format!(
        "without node {id} there would be no majority: of the {} voters that would be left, {} answer, and {} not; \
         bring those back, or remove them first",
        left.len(),
        left.len() - silent.len(),
        silent.join(", "),
    ))
}

fn said<R: AsyncRuntime>(written: Written<R>) -> Said<R> {
    match written {
        Ok(_) => Said::Changed,
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => Said::NotLeader(to.leader_id),
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => match error {
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => {
                Said::Unavailable(error.to_string())
            }
            _ => Said::Refused(error.to_string()),
        },
        Err(error) => Said::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_is_not_removed_if_those_who_answer_would_be_no_majority() {
        let without = |id, voters: &[NodeId], silent: &[NodeId]| {
            let voters = voters.iter().copied().collect();
            still_a_majority(id, &voters, |other| !silent.contains(other)).is_ok()
        };
        assert!(without(3, &[1, 2, 3], &[]));
        assert!(without(3, &[1, 2, 3], &[3]), "the silent one itself");
        assert!(!without(2, &[1, 2, 3], &[3]), "one of two would answer");
        assert!(without(2, &[1, 2, 3, 4, 5], &[5]));
        assert!(!without(2, &[1, 2, 3, 4, 5], &[4, 5]), "two of four");
        assert!(without(9, &[1, 2, 3], &[2, 3]), "a learner is none of them");
        assert!(without(2, &[1, 2], &[]));
        let refused = still_a_majority(2, &BTreeSet::from([1, 2, 3]), |id| *id != 3).unwrap_err();
        assert!(refused.contains("2 voters that would be left, 1 answer, and 3 not"), "{refused}");
    }
}
