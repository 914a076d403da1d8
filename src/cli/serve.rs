//! `circlet serve`: runs the node of a home directory.

use super::failure::Failure;
use super::output::Output;

/// `circlet serve`: runs the node of a home directory.
#[derive(clap::Args)]
pub struct Serve {}

impl Serve {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        Err(Failure::ours("not built in yet"))
    }
}
