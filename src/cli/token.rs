//! `circlet token`: the life of access tokens.

use super::failure::Failure;
use super::output::Output;

/// `circlet token`: the life of access tokens.
#[derive(clap::Subcommand)]
pub enum TokenCommand {}

impl TokenCommand {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        match self {}
    }
}
