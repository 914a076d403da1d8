//! What other nodes ask, and where their questions go.

use openraft::AsyncRuntime;

use super::Replica;
use crate::machine::Machine;
use crate::network::serve::Answer;
use crate::network::wire::{Ask, Said};
use crate::snapshot_file::FileMachine;
use crate::trace::Observed;
use crate::types::NodeId;

impl<M, R, S> Answer<R> for Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    async fn answer(&self, from: NodeId, ask: Ask<R>) -> Said<R> {
        match ask {
            Ask::Vote(request) => match self.raft.vote(request).await {
                Ok(response) => Said::Vote(response),
                Err(error) => Said::Failed(error.to_string()),
            },
            Ask::PreVote(request) => match self.raft.pre_vote(request).await {
                Ok(response) => Said::Vote(response),
                Err(error) => Said::Failed(error.to_string()),
            },
            Ask::Transfer(request) => match self.raft.handle_transfer_leader(request).await {
                Ok(result) => Said::Transferred(result),
                Err(error) => Said::Failed(error.to_string()),
            },
            Ask::ReadIndex { nonce } => self.confirm_read_index(nonce).await,
            Ask::Propose(command) => self.decide(command, Observed::default()).await,
            Ask::ProposeTraced { command, trace } => self.decide_traced(command, trace).await,
            Ask::Change(change) => {
                self.hear_of_move(from, &change);
                self.change_here(change).await
            }
            Ask::Clock => Said::Clock { wall_ms: self.clocks.wall_ms(), standing: self.standing() },
            Ask::Members => self.members_as_confirmed().await,
            Ask::Aside(question) => self.tell(from, question).await,
        }
    }
}
