//! Cuts the power under the log store, again and again, and looks for anything acknowledged that is gone.
//!
//! ```text
//! power_cut drive SCRATCH ROUNDS SEED [--no-fdatasync]    needs root; scripts/power-cut calls it
//! power_cut write FOLDER SEED BATCH COUNT [--no-fdatasync]
//! power_cut check FOLDER SEED BATCH ACKNOWLEDGED
//! ```
//! With `--no-fdatasync` the test must find a loss, or it could find none at all: the exit code says so.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod drive;
mod model;
mod store;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use drive::Plan;
use store::Sequence;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (flags, words): (Vec<_>, Vec<_>) = arguments.iter().partition(|word| word.starts_with("--"));
    let fdatasync = !flags.iter().any(|flag| *flag == "--no-fdatasync");
    let words: Vec<&str> = words.into_iter().map(String::as_str).collect();
    match run(&words, fdatasync).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(words: &[&str], fdatasync: bool) -> Result<(), Box<dyn Error>> {
    match *words {
        ["drive", scratch, rounds, seed] => {
            let plan =
                Plan { scratch: scratch.into(), rounds: rounds.parse()?, seed: seed.parse()?, fdatasync };
            drive(&plan)
        }
        ["write", folder, seed, batch, count] => {
            let sequence = Sequence { folder: Path::new(folder), seed: seed.parse()?, batch: batch.parse()? };
            store::write(&sequence, count.parse()?, fdatasync).await
        }
        ["check", folder, seed, batch, acknowledged] => {
            let sequence = Sequence { folder: Path::new(folder), seed: seed.parse()?, batch: batch.parse()? };
            println!("{}", store::check(&sequence, acknowledged.parse()?).await?);
            Ok(())
        }
        _ => Err("power_cut drive|write|check ...: see the head of raft/examples/power_cut/main.rs".into()),
    }
}

/// Runs the rounds and says what they showed.
fn drive(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let tally = drive::run(plan)?;
    match (tally.lost, plan.fdatasync) {
        (None, true) => {
            println!(
                "{} power cuts, {} operations acknowledged, none lost (seed {})",
                tally.rounds, tally.acknowledged, plan.seed
            );
            Ok(())
        }
        (Some(lost), true) => Err(format!("round {}: {lost} (seed {})", tally.rounds - 1, plan.seed).into()),
        (Some(lost), false) => {
            println!("without fdatasync the loss shows in round {}, as it must: {lost}", tally.rounds - 1);
            Ok(())
        }
        (None, false) => {
            let rounds = tally.rounds;
            Err(format!("no loss in {rounds} power cuts without fdatasync: this test can't fail").into())
        }
    }
}
