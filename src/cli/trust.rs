//! `circlet trust`: the circle of trust.

use super::failure::Failure;
use super::output::Output;

/// `circlet trust`: the circle of trust.
#[derive(clap::Subcommand)]
pub enum TrustCommand {}

impl TrustCommand {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        match self {}
    }
}
