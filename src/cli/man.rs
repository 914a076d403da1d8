//! `circlet man`: the manual pages, one for each command, from the same text as `--help`.

use std::path::PathBuf;

use clap::CommandFactory;

use super::arguments::Arguments;
use super::failure::Failure;
use super::output::Output;

/// Write the manual pages into a directory.
#[derive(clap::Args)]
pub struct Man {
    /// An existing directory; pages of the same name in it are replaced
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Man {
    /// Runs the command.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let directory = self.directory;
        clap_mangen::generate_to(Arguments::command(), &directory).map_err(|error| {
            Failure::input(format!("the manual pages can't be written into {}", directory.display()))
                .because(error)
                .hint("name an existing directory that you may write to")
        })?;
        output.say(&format!("wrote the manual pages into {}; start with circlet.1", directory.display()));
        Ok(())
    }
}
