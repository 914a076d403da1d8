//! The simulator's workload and judge against real processes: the nodes of a lab (`scripts/lab`), which are cut off,
//! killed, stopped in their tracks, lied to about the time, and lose their disks and their power.
//!
//! `scripts/torture` starts it. Exit 0 if nothing was broken, 1 if something was, 2 if it could not be tried.

mod afterlife;
mod bounds;
mod chaos;
mod client;
mod deck;
mod deeds;
mod epilogue;
mod gaps;
mod judge;
mod lab;
mod neighbour;
mod plant;
mod report;
mod workload;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use circlet_sim::dice::Dice;
use circlet_sim::history::Event;
use clap::Parser;
use serde_json::json;
use tokio::task::JoinSet;

use afterlife::End;
use bounds::{BEGUN_ANEW, LOOKED_AT, PREPARED, RECOVERY, TRIED_ON, UNDER_WAY};
use chaos::{Chaos, Fault};
use client::Client;
use deck::Deck;
use judge::Judge;
use lab::Lab;
use neighbour::Neighbour;
use plant::Plant;
use report::Report;
use workload::issuing::{
    ISSUE_MAX_ISOLATION_MS, LASTING_USER, MAX_STALENESS_MS, USERS, VERIFY_MAX_ISOLATION_MS,
};
use workload::plain::PLAIN_GROUP;
use workload::{MARKED_GROUP, Workload};

/// So long a new key waits for a neighbour that doesn't have it, in seconds: it may be cut off, or have as many keys as it keeps.
const CIRCLE_KEY_WAIT_SECS: u64 = 2;

/// How long each client rests at most between two requests, in milliseconds. Many wait for a node that is cut off.
const CLIENTS_REST_MS: [u64; 12] = [20, 40, 40, 60, 60, 80, 80, 100, 100, 120, 120, 150];

/// Breaks the nodes of a lab while clients are at work, and judges what they were told.
#[derive(Debug, Parser)]
struct Arguments {
    /// For so long faults are made; and for up to two minutes more if some kind of fault was not made by then. It takes some
    /// minutes more at most until all has ended and was looked at
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
    let workload = Workload::new(lab, Arc::clone(&judge), Client::new()?, dice.split())?;
    tokio::time::timeout(PREPARED, prepare(&workload, &dice, arguments.plant))
        .await
        .map_err(|_| format!("users and settings were not made within {PREPARED:?}"))??;
    let neighbour = workload.neighbour().cloned();
    let abroad = neighbour.as_ref().map(|neighbour| tokio::spawn(Arc::clone(neighbour).live()));

    let wanted = arguments.plant.map_or(&Fault::ALL[..], Plant::faults);
    let chaos = Chaos::new(&workload, dice.split(), wanted);
    let supervisor = tokio::spawn(Arc::clone(&chaos).supervise());
    let administrator = tokio::spawn(Arc::clone(&workload).keep_admin());
    workload.gaps.begin(judge.now());
    let mut under_way = JoinSet::new();
    for rest_ms in CLIENTS_REST_MS {
        under_way.spawn(Arc::clone(&workload).run(rest_ms));
    }
    under_way.spawn(Arc::clone(&chaos).rage(Deck::of(wanted)));
    watch(&judge, &chaos, arguments).await;
    chaos.stop();
    workload.stop();
    let has_ended = end(under_way, &judge).await?;
    let is_looked_at = arguments.plant.is_none_or(Plant::is_looked_at);
    if has_ended && is_looked_at && (arguments.plant.is_none() || judge.violations().is_empty()) {
        look(&workload).await;
    }
    supervisor.abort();
    administrator.abort();
    let is_well = has_ended && judge.violations().is_empty();
    match ending(arguments.plant, &dice, workload.lab.nodes().len()).filter(|_| is_well) {
        Some(end) => begin_anew(&workload, end, dice.split()).await,
        None => workload.record_rest(),
    }
    if let (Some(neighbour), Some(abroad)) = (neighbour, abroad) {
        neighbour.end();
        abroad.abort();
    }
    judge.finish();

    let report = Report::of(&judge, seed, workload.lab.nodes().len(), workload.gaps.longest_ms());
    say(arguments, &workload, &report)
        .map_err(|error| format!("the report could not be written: {error}"))?;
    let untried = chaos.untried().into_iter().map(Fault::name);
    let untried: Vec<&str> = untried.chain(deeds::undone(&judge)).collect();
    if arguments.plant.is_none() && report.violations.is_empty() && !untried.is_empty() {
        return Err(format!("could not be tried: {}", untried.join(", ")));
    }
    let is_seen =
        |plant: Plant| judge.has_seen(plant.seen_by()) && judge.has_seen(plant.seen_in_the_end_by());
    Ok(arguments.plant.map_or(report.violations.is_empty(), |plant| !is_seen(plant)))
}

/// Waits until what is under way has ended; false if something hangs, which is broken off then.
async fn end(mut under_way: JoinSet<()>, judge: &Judge) -> Result<bool, String> {
    let ended = async {
        while let Some(task) = under_way.join_next().await {
            task.map_err(|error| format!("a defect of this program: {error}"))?;
        }
        Ok(())
    };
    if let Ok(ended) = tokio::time::timeout(UNDER_WAY, ended).await {
        return ended.map(|()| true);
    }
    judge.accuse("liveness", format!("what was under way did not end within {UNDER_WAY:?}"));
    Ok(false)
}

/// How the cluster ends, in a run without a plant or with one that is about that; nobody is given up by a node without others.
fn ending(plant: Option<Plant>, dice: &Dice, nodes: usize) -> Option<End> {
    match plant {
        Some(Plant::NoNewGeneration) => Some(End::Pretended),
        Some(_) => None,
        None if nodes > 2 && dice.percent(50) => Some(End::Recovered),
        None => Some(End::Restored),
    }
}

/// The cluster is lost, and another begins and is looked at.
async fn begin_anew(workload: &Arc<Workload>, end: End, dice: Dice) {
    let judge = &workload.judge;
    let begun = tokio::time::timeout(BEGUN_ANEW, afterlife::begin_anew(workload, end, dice)).await;
    match begun {
        Ok(Ok(anew)) => {
            if end != End::Pretended {
                look(&anew).await;
            }
            anew.record_rest();
        }
        Ok(Err(why)) => judge.accuse("liveness", format!("no other cluster could begin: {why}")),
        Err(_) => judge.accuse("liveness", format!("no other cluster began within {BEGUN_ANEW:?}")),
    }
}

/// Looks whether all is well in the end.
async fn look(workload: &Arc<Workload>) {
    let limit = RECOVERY + LOOKED_AT;
    if tokio::time::timeout(limit, epilogue::look(workload)).await.is_err() {
        let said = format!("what is there in the end could not be looked at within {limit:?}");
        workload.judge.accuse("liveness", said);
    }
}

/// Lets time pass; where something must be seen, until it is, and elsewhere until each kind of fault was made.
async fn watch(judge: &Judge, chaos: &Chaos, arguments: &Arguments) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(arguments.seconds);
    let is_seen = |plant: Plant| judge.has_seen(plant.seen_by());
    let least = tokio::time::Instant::now() + arguments.plant.map_or(Duration::ZERO, Plant::least);
    let is_enough = || tokio::time::Instant::now() > least && arguments.plant.is_some_and(is_seen);
    while tokio::time::Instant::now() < deadline && !is_enough() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    chaos.hurry();
    let is_tried =
        || arguments.plant.is_some() || (chaos.untried().is_empty() && deeds::undone(judge).is_empty());
    while tokio::time::Instant::now() < deadline + TRIED_ON && !is_tried() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The cluster has users and groups, and bounds that a run reaches; with a plant it has something else as well.
async fn prepare(workload: &Arc<Workload>, dice: &Dice, plant: Option<Plant>) -> Result<(), String> {
    let nodes = workload.lab.nodes();
    let first = nodes.first().ok_or("a lab without nodes")?;
    for user in USERS.into_iter().chain([LASTING_USER]) {
        if !workload.add_user(first, user).await {
            return Err(format!("the cluster can't make user {user}"));
        }
    }
    for group in [MARKED_GROUP, PLAIN_GROUP] {
        if !workload.add_group(first, group).await {
            return Err(format!("the cluster can't make group {group}"));
        }
    }
    let (issue_ms, verify_ms) = (ISSUE_MAX_ISOLATION_MS, VERIFY_MAX_ISOLATION_MS);
    let bounds = json!({
        "issue.max-isolation": issue_ms / 1_000,
        "verify.max-isolation": verify_ms / 1_000,
        "circle.max-staleness-ms": neighbour::STALENESS_MS,
        "circle.key-wait": CIRCLE_KEY_WAIT_SECS,
    });
    plant::set(workload, &bounds).await?;
    if let Some(plant) = plant {
        if let Some(settings) = plant.settings() {
            plant::set(workload, &settings).await?;
        }
        plant.begin(workload);
    }
    if plant.is_none_or(Plant::has_neighbour) {
        workload.meet(&Neighbour::meet(workload, dice.split()).await?);
    }
    // Whoever has heard of the write before has heard of the bounds.
    workload.until_all_know().await?;
    workload.judge.tell(&Event::Bounds { issue_ms, verify_ms });
    workload.judge.tell(&Event::CircleBound { ms: neighbour::STALENESS_MS });
    workload.judge.tell(&Event::Staleness { ms: MAX_STALENESS_MS });
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
