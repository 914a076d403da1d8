//! `circlet init`: a new cluster of one node.

use super::failure::Failure;
use super::output::Output;

/// `circlet init`: a new cluster of one node.
#[derive(clap::Args)]
pub struct Init {}

impl Init {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        Err(Failure::ours("not built in yet"))
    }
}
