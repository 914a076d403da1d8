//! A cluster on loopback with one command.

use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// A cluster on loopback with one command.
#[derive(clap::Args)]
pub struct Dev {}

impl Dev {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        Err(Failure::ours("not built in yet"))
    }
}
