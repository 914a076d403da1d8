//! `circlet group`: the groups of users.

use super::failure::Failure;
use super::output::Output;

/// `circlet group`: the groups of users.
#[derive(clap::Subcommand)]
pub enum GroupCommand {}

impl GroupCommand {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        match self {}
    }
}
