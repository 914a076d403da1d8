//! What a node does that is told that its generation is over.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;

use crate::failure::{Dismissed, Unconfirmed};
use crate::gate::Gate;
use crate::machine::Machine;
use crate::network::Channel;
use crate::network::succession::{SuccessionSaid, answer, hear};
use crate::replica::{Replica, lock};
use crate::snapshot_file::FileMachine;
use crate::types::NodeId;

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Hears of a later generation from a node that was let in: that it has its key was checked. It is believed for good, so
    /// it has to be a member: that others say so is not enough, nor that it was one when it dialled, or is to become one.
    pub(super) async fn hear_of_succession(&self, from: NodeId, mut channel: Channel) {
        let patience = Duration::from_millis(self.settings.dial_timeout_ms);
        let Some(word) = hear::<R>(&mut channel, patience).await else { return };
        let is_ours = self.removal(from).is_none() && self.member(from).is_some();
        if !is_ours && !self.defects.any_successor {
            return;
        }
        let gate: Option<Arc<dyn Gate>> = lock(&self.gate).clone();
        let Some(gate) = gate else { return };
        let kept = gate.superseded(from, word.generation).await;
        let said = match &kept {
            Ok(()) => SuccessionSaid::Kept,
            Err(why) => SuccessionSaid::NotKept(why.to_string()),
        };
        // First the answer: what was lost on its way would be told again for ever, to nobody.
        answer::<R>(channel, &said, patience).await;
        if !matches!(kept, Err(Unconfirmed::NotBelieved(_))) {
            let why = Dismissed::Superseded { generation: word.generation };
            self.dismissal.modify(|known| known.replace(why).is_none());
        }
    }
}
