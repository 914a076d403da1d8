//! `circlet user`: the accounts.

use super::failure::Failure;
use super::output::Output;

/// `circlet user`: the accounts.
#[derive(clap::Subcommand)]
pub enum UserCommand {}

impl UserCommand {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        match self {}
    }
}
