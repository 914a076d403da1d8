//! A command's way into the log: dry-run and stamped by the leader, forwarded there by everyone else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use openraft::AsyncRuntime;
use openraft::errors::{ClientWriteError, RaftError};
use openraft_rt::Select2;
use tracing::Instrument;

use crate::clock_watch::Circumstances;
use crate::failure::ProposeError;
use crate::machine::Machine;
use crate::network::wire::{Ask, Said};
use crate::replica::bad_disk::AGAIN_MS;
use crate::replica::{Replica, lock};
use crate::snapshot_file::FileMachine;
use crate::trace::{Observed, Stage, TRACES_FROM_LEVEL, Trace};
use crate::types::{Committed, Proposal};

/// How long to wait for a leader to appear before asking again.
const RETRY: Duration = Duration::from_millis(10);

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Has the cluster decide a command; returns when our own view holds it.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Committed, ProposeError> {
        self.propose_traced(command, None).await
    }

    /// The same, where the leader is told of the trace of the request behind it, once all nodes understand that.
    pub async fn propose_traced(
        &self,
        command: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Committed, ProposeError> {
        let max = self.settings.command_bytes_max;
        if command.len() > max {
            return Err(ProposeError::Refused(format!("{} bytes; at most {max} are allowed", command.len())));
        }
        let deadline = Duration::from_millis(self.settings.propose_timeout_ms);
        let understood = M::feature_level(&self.board.load().view) >= TRACES_FROM_LEVEL;
        let ask = || {
            let command = command.clone();
            let ask = match trace.filter(|_| understood) {
                Some(trace) => Ask::ProposeTraced { command, trace },
                None => Ask::Propose(command),
            };
            self.ask_leader(ask, deadline)
        };
        let committed = until_taken::<R, _>(deadline, ask).await?;
        if self.defects.answer_unseen {
            return Ok(committed);
        }
        match R::timeout(deadline, self.board.wait_index(committed.index)).await {
            Ok(()) => Ok(committed),
            Err(_) => Err(ProposeError::Unknown("decided, but not yet seen by this node".to_owned())),
        }
    }

    /// The leader's part, with a trace: its log lines name it, and whoever observes is told.
    pub(super) async fn decide_traced(&self, command: Vec<u8>, trace: Trace) -> Said<R> {
        let leads = self.leader() == Some(self.id);
        let observed = Observed(self.observer.get().filter(|_| leads).map(|observer| observer.begins(trace)));
        self.decide(command, observed).instrument(tracing::info_span!("proposal", trace_id = %trace)).await
    }

    /// The leader's part.
    pub(super) async fn decide(&self, command: Vec<u8>, mut observed: Observed) -> Said<R> {
        let leader = self.leader();
        if leader != Some(self.id) {
            return Said::NotLeader(leader);
        }
        if command.len() > self.settings.command_bytes_max {
            return Said::Refused(format!("{} bytes are too many", command.len()));
        }
        let stamped = self.stamp().await;
        match (&stamped, lock(&self.refused_stamp).turns(stamped.is_err())) {
            (Err(reason), true) => tracing::error!(reason, "this node's clock may not stamp"),
            (Ok(_), true) => tracing::info!("this node's clock may stamp again"),
            _ => {}
        }
        let stamp_ms = match stamped {
            Ok(stamp_ms) => stamp_ms,
            Err(reason) => {
                self.leave_to_a_better_clock().await;
                return Said::Unavailable(reason);
            }
        };
        let view = self.board.load();
        let trial = catch_unwind(AssertUnwindSafe(|| M::dry_run(&view.view, stamp_ms, &command)));
        match trial {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Said::Refused(reason),
            Err(_) => return Said::Refused("applying the command panics".to_owned()),
        }
        drop(view);
        observed.reached(Stage::Stamped);
        let said = self.write(Proposal { stamp_ms, command }).await;
        if matches!(said, Said::Committed { .. }) {
            observed.reached(Stage::Applied);
        }
        said
    }

    /// Hands over, since our clock may not stamp, to a voter whose clock may. Where nobody's may, as of two that disagree
    /// while the third is silent, each would hand over to the other with every write, and nothing could be read for all the
    /// elections: that is tried now and then only.
    async fn leave_to_a_better_clock(&self) {
        let (voters, now) = (self.voters(), self.clocks.now());
        let bound_ms = self.settings.clock_offset_ms_max;
        let better = lock(&self.offsets).agreeing(&voters, self.id, now, bound_ms);
        if !better.is_empty() {
            return self.hand_over_to_one_of(&better).await;
        }
        let due = {
            let mut left = lock(&self.left_for_clock);
            let due = left.is_none_or(|at_ms| now.boot_ms.saturating_sub(at_ms) >= AGAIN_MS);
            if due {
                *left = Some(now.boot_ms);
            }
            due
        };
        if due {
            self.hand_over().await;
        }
    }

    async fn write(&self, proposal: Proposal) -> Said<R> {
        // Shorter than the asker's deadline, so that the answer still reaches it.
        let ttl = Duration::from_millis(self.settings.propose_timeout_ms / 5 * 4);
        match R::timeout(ttl, self.raft.client_write(proposal)).await {
            Ok(Ok(written)) => Said::Committed { index: written.log_id.index, outcome: written.data.0 },
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to)))) => {
                Said::NotLeader(to.leader_id)
            }
            Ok(Err(RaftError::APIError(error))) => Said::Unknown(error.to_string()),
            Ok(Err(RaftError::Fatal(error))) => Said::Unknown(error.to_string()),
            Err(_) => Said::Unknown("no quorum confirmed it in time".to_owned()),
        }
    }

    /// The leader's time for the next entry, if its clock can be believed.
    async fn stamp(&self) -> Result<u64, String> {
        if !self.is_lone() && self.median_ms().is_none() {
            self.compare_clocks().await;
        }
        let circumstances = self.circumstances();
        if self.defects.blind_stamps {
            return Ok(circumstances.now.wall_ms);
        }
        let stamp = lock(&self.stamper).stamp(circumstances)?;
        lock(&self.dater).stamped(circumstances.now);
        Ok(stamp)
    }

    /// What this node's clock is judged by.
    pub(super) fn circumstances(&self) -> Circumstances {
        Circumstances {
            now: self.clocks.now(),
            term: self.metrics(|metrics| metrics.current_term),
            median_ms: self.median_ms(),
            lone: self.is_lone(),
            state_ms: M::now_ms(&self.board.load().view),
            accept_clock: self.accept_clock,
            bound_ms: self.settings.clock_offset_ms_max,
        }
    }

    /// How far this node's clock is ahead in milliseconds, by all that it can be held against; none where that is nothing yet.
    pub fn clock_ahead_ms(&self) -> Option<u64> {
        lock(&self.dater).ahead_ms(self.clocks.now(), || self.dating())
    }

    /// What this node's clock is judged by where it dates something. The leader's clock is judged by others already, and
    /// stands for them where a majority doesn't answer.
    pub(super) fn dating(&self) -> Circumstances {
        let circumstances = self.circumstances();
        let leader = || self.metrics(|metrics| metrics.current_leader);
        let of_leader = || lock(&self.offsets).of(leader()?, circumstances.now);
        let median_ms = circumstances.median_ms.or_else(of_leader);
        Circumstances { median_ms, ..circumstances }
    }

    pub(super) fn is_lone(&self) -> bool {
        self.metrics(|metrics| metrics.membership_config.membership().voter_ids().count() <= 1)
    }

    /// How far the median of the voters is ahead of us.
    pub(super) fn median_ms(&self) -> Option<i64> {
        let voters = self.metrics(|metrics| metrics.membership_config.membership().voter_ids().collect());
        lock(&self.offsets).median(&voters, self.id, self.clocks.now())
    }
}

/// Something wrong that is said once when it begins and once when it ends, however often it is met.
#[derive(Debug, Default)]
pub(super) struct Trouble(bool);

impl Trouble {
    /// Whether it has begun or ended just now.
    fn turns(&mut self, now: bool) -> bool {
        std::mem::replace(&mut self.0, now) != now
    }
}

/// Asks whoever leads until somebody takes the command. Only "not the leader" is asked again, for as long as `search`; a
/// question that is under way by then has its own deadline, and is waited for: what it came to is known only then.
async fn until_taken<R, F>(search: Duration, mut ask: impl FnMut() -> F) -> Result<Committed, ProposeError>
where
    R: AsyncRuntime,
    F: Future<Output = Said<R>> + Send,
{
    let mut over = Box::pin(R::sleep(search));
    loop {
        match ask().await {
            Said::Committed { index, outcome } => return Ok(Committed { index, outcome }),
            Said::Refused(reason) => return Err(ProposeError::Refused(reason)),
            Said::Unavailable(reason) => return Err(ProposeError::Unavailable(reason)),
            Said::Unknown(reason) | Said::Failed(reason) => return Err(ProposeError::Unknown(reason)),
            Said::NotLeader(_) => {}
            _ => return Err(ProposeError::Unknown("the leader answered another question".to_owned())),
        }
        if let Select2::First(()) = R::select2(&mut over, R::sleep(RETRY)).await {
            return Err(ProposeError::Unavailable("no leader was found in time".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use openraft_rt_tokio::TokioRuntime;

    use super::*;

    #[test]
    fn trouble_is_told_when_it_begins_and_when_it_ends() {
        let mut trouble = Trouble::default();
        let met = [false, true, true, true, false, false, true];
        let told: Vec<bool> = met.into_iter().map(|now| trouble.turns(now)).collect();
        assert_eq!(told, [false, true, false, false, true, false, true]);
    }

    const SEARCH: Duration = Duration::from_millis(300);

    #[tokio::test]
    async fn a_command_on_its_way_when_the_search_ends_is_not_said_to_be_undone() {
        let asked = AtomicUsize::new(0);
        let ask = || async {
            if asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return Said::<TokioRuntime>::NotLeader(None);
            }
            tokio::time::sleep(SEARCH * 2).await;
            Said::Committed { index: 7, outcome: vec![1] }
        };
        let taken = until_taken(SEARCH, ask).await;
        assert_eq!(taken, Ok(Committed { index: 7, outcome: vec![1] }));
    }

    #[tokio::test]
    async fn a_search_that_finds_nobody_ends() {
        let ask = || async { Said::<TokioRuntime>::NotLeader(None) };
        let taken = until_taken(SEARCH, ask).await;
        assert!(matches!(taken, Err(ProposeError::Unavailable(_))), "{taken:?}");
    }
}
