//! A replica's state, for people.

use std::sync::atomic::Ordering;

use openraft::{AsyncRuntime, ServerState};

use crate::machine::Machine;
use crate::replica::{Replica, lock};
use crate::snapshot_file::FileMachine;
use crate::status::{Member, Role, Status};

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// The state of this node.
    pub fn status(&self) -> Status {
        let now = self.clocks.now();
        let published = self.board.load();
        let age_ms = published.age_ms(now);
        let clock_offset_ms = self.median_ms().map(i64::saturating_neg);
        let stopped = self.stopped.get();
        let offsets = lock(&self.offsets);
        self.metrics(|metrics| {
            let membership = metrics.membership_config.membership();
            let matched = |id| metrics.replication.as_ref()?.get(id)?.as_ref().map(|log_id| log_id.index);
            // During a change two sets of voters decide together; a vote is safe once it is in both.
            let sets = membership.get_joint_config();
            let members = membership.nodes().map(|(id, peer)| {
                let member = Member {
                    peer: peer.clone(),
                    voter: sets.iter().all(|set| set.contains(id)),
                    matched: matched(id),
                    decided: self.acknowledged.standing(*id).map(|standing| standing.decided.1),
                    set_back: self.acknowledged.is_set_back(*id),
                    clock_offset_ms: if *id == self.id { Some(0) } else { offsets.of(*id, now) },
                };
                (*id, member)
            });
            Status {
                id: self.id,
                leader: metrics.current_leader,
                term: metrics.current_term,
                role: role(metrics.state, stopped.is_some()),
                last_log: metrics.last_log_index,
                // The view is published before openraft hears of it.
                applied: metrics.last_applied.map(|log_id| log_id.index.max(published.index)),
                snapshot: metrics.snapshot.map(|log_id| log_id.index),
                purged: metrics.purged.map(|log_id| log_id.index),
                members: members.collect(),
                age_ms,
                clock_offset_ms,
                leader_changes: self.leader_changes.load(Ordering::Relaxed),
                disk: self.journal.disk(),
                stopped: stopped.clone(),
            }
        })
    }
}

fn role(state: ServerState, stopped: bool) -> Role {
    match state {
        _ if stopped => Role::Stopped,
        ServerState::Leader => Role::Leader,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}
