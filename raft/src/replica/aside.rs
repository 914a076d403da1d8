//! Questions between members that are not about the log. What they mean is for others to know.

use std::sync::Arc;
use std::time::Duration;

use openraft::AsyncRuntime;

use crate::gate::Gate;
use crate::machine::Machine;
use crate::network::wire::{Ask, Said};
use crate::replica::{Replica, lock};
use crate::snapshot_file::FileMachine;
use crate::types::NodeId;

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Who answers from now on, until we are shut down.
    pub fn tell_by(&self, gate: Arc<dyn Gate>) {
        *lock(&self.gate) = Some(gate);
    }

    /// Asks a member; its gate answers.
    pub async fn ask_member(&self, id: NodeId, question: Vec<u8>, wait: Duration) -> Result<Vec<u8>, String> {
        let peer = self.peer(id).ok_or_else(|| format!("node {id} is not a member"))?;
        match self.calls.call(id, &peer, Ask::Aside(question), wait).await {
            Ok(Said::Aside(answer)) => Ok(answer),
            Ok(Said::Refused(reason)) => Err(reason),
            Ok(_) => Err("it answered another question".to_owned()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    pub(super) async fn tell(&self, from: NodeId, question: Vec<u8>) -> Said<R> {
        let gate = lock(&self.gate).clone();
        let Some(gate) = gate else {
            return Said::Refused("this node tells nothing beside the log".to_owned());
        };
        match gate.tell(from, question).await {
            Ok(answer) => Said::Aside(answer),
            Err(reason) => Said::Refused(reason),
        }
    }
}
