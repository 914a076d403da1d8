//! `circlet cluster`: the nodes of a cluster.

use super::failure::Failure;
use super::output::Output;

/// `circlet cluster`: the nodes of a cluster.
#[derive(clap::Subcommand)]
pub enum ClusterCommand {}

impl ClusterCommand {
    /// Runs the command.
    #[expect(clippy::unused_async, reason = "every command is run the same way")]
    pub async fn run(self, _output: &Output) -> Result<(), Failure> {
        match self {}
    }
}
