//! A leader whose disk is what holds up the cluster lets another one lead.

use openraft::AsyncRuntime;

use crate::machine::Machine;
use crate::replica::Replica;
use crate::snapshot_file::FileMachine;

/// Between two attempts, in milliseconds: where every disk is bad, leading must not go round without end.
pub(super) const AGAIN_MS: u64 = 10_000;

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Hands over if we lead and our disk is full, slow or broken. `handed_over` is when that was tried last, on the boot
    /// clock.
    pub(super) async fn leave_a_bad_disk(&self, handed_over: &mut Option<u64>) {
        let Some(trouble) = self.journal.disk().trouble else { return };
        if self.leader() != Some(self.id) || self.is_lone() {
            return;
        }
        let now_ms = self.clocks.boot_ms();
        if handed_over.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < AGAIN_MS) {
            return;
        }
        *handed_over = Some(now_ms);
        tracing::error!(
            disk = trouble.word(),
            "this node's disk holds up the cluster; it hands over the leadership"
        );
        self.hand_over().await;
    }
}
