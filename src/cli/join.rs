//! `circlet join`: a home for a new node of an existing cluster.

use super::failure::Failure;
use super::output::Output;

/// `circlet join`: a home for a new node of an existing cluster.
#[derive(clap::Args)]
pub struct Join {}

impl Join {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        Err(Failure::ours("not built in yet"))
    }
}
