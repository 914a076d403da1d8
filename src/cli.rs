//! The command line: stdout is data, stderr is talk; exit 0 done, 1 your input, 2 our fault.
//!
//! [`arguments`] is what was typed. Every command has a file of its own with its flags and what it does.

pub mod arguments;
pub mod backup;
pub mod circle;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod drill;
pub mod failure;
pub mod group;
pub mod import;
pub mod init;
pub mod join;
pub mod key;
pub mod man;
pub mod output;
pub mod profile;
pub mod recover;
pub mod restore;
pub mod serve;
pub mod table;
pub mod token;
pub mod trust;
pub mod user;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::Failure;
use output::Output;

/// Reads the arguments, runs the command, prints its failure, and says how the process ends.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(usage) => return usage_error(&usage),
    };
    let output = Output::new(arguments.output);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return output.failure(&Failure::ours("the asynchronous runtime could not start").because(error));
        }
    };
    let ended = runtime.block_on(run(arguments.command, &output));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => output.failure(&failure),
    }
}

async fn run(command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Init(init) => init.run(output).await,
        Command::Join(join) => join.run(output).await,
        Command::Serve(serve) => serve.run(output).await,
        Command::Dev(dev) => dev.run(output).await,
        Command::Cluster(cluster) => cluster.run(output).await,
        Command::Doctor(doctor) => doctor.run(output).await,
        Command::Drill(drill) => drill.run(output).await,
        Command::Token(token) => token.run(output).await,
        Command::User(user) => user.run(output).await,
        Command::Group(group) => group.run(output).await,
        Command::Trust(trust) => trust.run(output).await,
        Command::Circle(circle) => circle.run(output).await,
        Command::Key(key) => key.run(output).await,
        Command::Config(config) => config.run(output).await,
        Command::Backup(backup) => backup.run(output).await,
        Command::Restore(restore) => restore.run(output).await,
        Command::Recover(recover) => recover.run(output).await,
        Command::Import(import) => import.run(output).await,
        Command::Completions(completions) => completions.run(output),
        Command::Man(man) => man.run(output),
    }
}

/// clap's own texts and choice of stream; wrong usage is the caller's input, so it ends with 1.
fn usage_error(usage: &clap::Error) -> ExitCode {
    // Nothing is left to tell if the terminal is gone.
    let _ = usage.print();
    if usage.use_stderr() { ExitCode::from(failure::Fault::Input.exit_code()) } else { ExitCode::SUCCESS }
}
