//! The simulator's workload and judge against real processes: the nodes of a lab (`scripts/lab`), which are cut off,
//! killed, stopped in their tracks, lied to about the time, and lose their disks and their power.
//!
//! `scripts/torture` starts it. Exit 0 if nothing was broken, 1 if something was, 2 if it could not be tried.

mod chaos;
mod client;
mod epilogue;
mod gaps;
mod judge;
mod lab;
mod report;
mod workload;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use circlet_sim::dice::Dice;
use clap::{Parser, ValueEnum};
use reqwest::Method;
use serde_json::json;

use chaos::{Chaos, Deck, Fault};
use client::{Client, Shown};
use judge::Judge;
use lab::Lab;
use report::Report;
use workload::Workload;
use workload::issuing::USERS;

/// How long each client rests at most between two requests, in milliseconds. Many wait for a node that is cut off.
const CLIENTS_REST_MS: [u64; 12] = [20, 40, 40, 60, 60, 80, 80, 100, 100, 120, 120, 150];

/// Breaks the nodes of a lab while clients are at work, and judges what they were told.
#[derive(Debug, Parser)]
struct Arguments {
    /// For so long faults are made
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Decides which faults are made and what clients want; without it one is drawn
    #[arg(long)]
    seed: Option<u64>,
    /// What is wrong with the nodes, so that a violation must be seen
    #[arg(long)]
    plant: Option<Plant>,
    /// The script that breaks the nodes
    #[arg(long, default_value = "scripts/lab")]
    lab: PathBuf,
    /// Write the report here as well, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write every event here
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Copy the nodes' logs to this folder if something was broken
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

/// Something wrong with the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Plant {
    /// The nodes run with a library that makes fdatasync do nothing; the power is cut
    LostSync,
    /// The nodes accept what they haven't compared with the others for an hour; they are cut off
    LaxFreshness,
}

impl Plant {
    /// The faults that show it.
    fn faults(self) -> &'static [Fault] {
        match self {
            Self::LostSync => &[Fault::PowerCutOfAll],
            Self::LaxFreshness => &[Fault::Cut],
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            // Nothing is left to tell if stderr is gone.
            let _ = writeln!(io::stderr(), "error: {why}");
            ExitCode::from(2)
        }
    }
}

/// Runs, reports, and says whether nothing was broken.
async fn run(arguments: &Arguments) -> Result<bool, String> {
    let seed = arguments.seed.unwrap_or_else(drawn_seed);
    let trace: Option<Box<dyn Write + Send>> = match &arguments.trace {
        None => None,
        Some(file) => Some(Box::new(BufWriter::new(created(file)?))),
    };
    let dice = Dice::new(seed);
    let lab = Arc::new(Lab::here(arguments.lab.clone()).await?);
    let judge = Arc::new(Judge::new(trace));
    let admin =
        std::env::var("CIRCLET_ACCESS_TOKEN").map_err(|error| format!("CIRCLET_ACCESS_TOKEN: {error}"))?;
    let nodes = lab.nodes.len();
    let workload = Workload::new(lab, Arc::clone(&judge), Client::new()?, dice.split(), admin);
    prepare(&workload, arguments.plant).await?;

    let chaos = Chaos::new(&workload, dice.split());
    let supervisor = tokio::spawn(Arc::clone(&chaos).supervise());
    let clients = CLIENTS_REST_MS.map(|rest_ms| tokio::spawn(Arc::clone(&workload).run(rest_ms)));
    let deck = Deck::of(arguments.plant.map_or(&Fault::ALL[..], Plant::faults));
    let raging = tokio::spawn(Arc::clone(&chaos).rage(deck));
    watch(&judge, arguments).await;
    chaos.stop();
    workload.stop();
    for task in clients.into_iter().chain(std::iter::once(raging)) {
        task.await.map_err(|error| format!("a defect of this program: {error}"))?;
    }
    if arguments.plant.is_none() || judge.violations().is_empty() {
        epilogue::look(&workload).await;
    }
    supervisor.abort();

    let report = Report::of(&judge, seed, nodes, workload.gaps.longest_ms());
    say(arguments, &workload, &report)
        .map_err(|error| format!("the report could not be written: {error}"))?;
    Ok(report.violations.is_empty())
}

/// Lets time pass; where something must be seen, until it is.
async fn watch(judge: &Judge, arguments: &Arguments) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(arguments.seconds);
    while tokio::time::Instant::now() < deadline
        && (arguments.plant.is_none() || judge.violations().is_empty())
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The cluster has users; with a plant it has something else as well.
async fn prepare(workload: &Arc<Workload>, plant: Option<Plant>) -> Result<(), String> {
    let first = workload.lab.nodes.first().ok_or("a lab without nodes")?;
    for user in USERS {
        if !workload.add_user(first, user).await {
            return Err(format!("the cluster can't make user {user}"));
        }
    }
    if plant == Some(Plant::LaxFreshness) {
        let body = json!({ "verify.max-staleness-ms": 3_600_000 });
        let url = format!("{}/circlet/v1/config", first.url);
        let answer =
            workload.client.send(Method::PATCH, url, Shown::Token(&workload.admin), Some(&body)).await;
        if answer.as_ref().is_none_or(|answer| answer.status != 200) {
            return Err(format!("the defect could not be planted: {answer:?}"));
        }
    }
    Ok(())
}

fn say(arguments: &Arguments, workload: &Workload, report: &Report) -> io::Result<()> {
    write!(io::stdout(), "{}", report.text())?;
    if let Some(file) = &arguments.json {
        std::fs::write(file, format!("{:#}\n", report.json()))?;
    }
    match &arguments.logs {
        Some(folder) if !report.violations.is_empty() => workload.lab.keep_logs(folder),
        _ => Ok(()),
    }
}

fn created(file: &PathBuf) -> Result<File, String> {
    File::create(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// From the system's chance, short enough to be typed again.
fn drawn_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() % 1_000_000
}
