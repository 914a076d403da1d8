//! `circlet completions`: what a shell needs to complete the commands and flags of the others.

use clap::CommandFactory;
use clap_complete::Shell;

use super::arguments::Arguments;
use super::failure::Failure;
use super::output::Output;

/// Print a shell's completions, for its completion directory.
#[derive(clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Runs the command: the script goes to stdout as it is, whatever the output format.
    pub fn run(self, output: &Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "circlet", &mut script);
        output.raw(&script)
    }
}
