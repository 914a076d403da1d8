//! The load generator behind `scripts/bench`: it drives a running cluster that `circlet dev --ready-file` describes, and
//! reports what a request costs, as a multiple of the one signature or verification that nobody can avoid.

mod cluster;
mod connection;
mod failover;
mod floor;
mod load;
mod peers;
mod process;
mod report;
mod revoked;
mod started;
mod suite;
mod target;
mod workload;
mod yardstick;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::Value;

use cluster::Cluster;
use floor::Floored;
use peers::Peer;
use report::Report;
use revoked::Revoked;
use target::Target;
use yardstick::Yardstick;

/// How long the idle cluster is watched before the load.
const IDLE_WATCH: Duration = Duration::from_secs(3);

/// Drives load at a cluster and reports what a request costs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The file that `circlet dev --ready-file` wrote
    #[arg(long, value_name = "FILE", required_unless_present = "peer")]
    ready_file: Option<PathBuf>,
    /// Drive this peer instead, and say how fast it is as one line of JSON
    #[arg(long, value_name = "PEER", requires = "addresses", conflicts_with = "ready_file")]
    peer: Option<Peer>,
    /// The peer's nodes
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',')]
    addresses: Vec<String>,
    /// What the peer asks for as a bearer token
    #[arg(long, value_name = "TOKEN", env = "PEER_TOKEN", hide_env_values = true, default_value = "")]
    peer_token: String,
    /// What was found of the peers, a line each
    #[arg(long, value_name = "FILE")]
    peers: Option<PathBuf>,
    /// How many clients at once; one pass for each
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1,16,64")]
    clients: Vec<usize>,
    /// The longest time for each workload
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    seconds: u64,
    /// Kill the leader this many times at the end, and start it again with --program
    #[arg(long, value_name = "N", default_value_t = 0, requires = "program")]
    failover_rounds: usize,
    /// Instead, start the lone node of the cluster with --program, measure it, have --fill revoke this many ids, and measure
    /// it again
    #[arg(long, value_name = "N", requires_all = ["program", "fill"], conflicts_with_all = ["peer", "failover_rounds"])]
    revoked: Option<u64>,
    /// Instead, measure by turns this cluster and another one, whose nodes keep a revocation floor each, as this file of
    /// `circlet dev --ready-file` says
    #[arg(long, value_name = "FILE", conflicts_with_all = ["peer", "failover_rounds", "revoked"])]
    floored: Option<PathBuf>,
    /// The program that fills a home with revoked ids: the example revoked-home
    #[arg(long, value_name = "FILE")]
    fill: Option<PathBuf>,
    /// The circlet program
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Write the figures here, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("error: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                cause = inner.source();
            }
            // Nothing is left to tell if stderr is gone.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let time = Duration::from_secs(arguments.seconds);
    if let Some(peer) = arguments.peer {
        for clients in &arguments.clients {
            let found = peers::run(peer, &arguments.addresses, &arguments.peer_token, *clients, time).await;
            writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&found)?)?;
        }
        return Ok(());
    }
    let peers = arguments.peers.as_deref().map(peers::read).transpose()?.unwrap_or_default();
    let cluster = Cluster::read(&arguments.ready_file.unwrap_or_default())?;
    if let (Some(ids), Some(program), Some(fill)) = (arguments.revoked, &arguments.program, &arguments.fill) {
        let clients = arguments.clients.last().copied().unwrap_or(1);
        let found = Revoked { cluster, program, fill, ids, clients, time }.run().await?;
        return tell(&found, arguments.json.as_deref());
    }
    if let Some(floored) = &arguments.floored {
        let (with, clients) = (Cluster::read(floored)?, arguments.clients.last().copied().unwrap_or(1));
        let found = Floored { without: cluster, with, clients, time }.run().await?;
        write!(std::io::stdout().lock(), "{}", floor::table(&found))?;
        return write_json(&floor::json(&found), arguments.json.as_deref());
    }
    for node in &cluster.nodes {
        writeln!(std::io::stderr().lock(), "node {} pid {} home {}", node.authority, node.pid, node.home)?;
    }
    let yardstick = Yardstick::measure();
    let (idle_bytes, idle_cpu) = watch_idle(&cluster).await;
    suite::prepare(&cluster).await?;
    let mut rows = Vec::new();
    for clients in &arguments.clients {
        rows.extend(suite::run(&cluster, *clients, time).await?);
    }
    let failover = match &arguments.program {
        Some(program) if arguments.failover_rounds > 0 => {
            Some(failover::run(cluster, program, arguments.failover_rounds).await?)
        }
        _ => None,
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let report = Report { yardstick, rows, idle_bytes, idle_cpu, failover, peers, cores };
    write!(std::io::stdout().lock(), "{}", report.table())?;
    write_json(&report.json(), arguments.json.as_deref())
}

/// The targets by themselves.
fn tell(targets: &[Target], json: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    targets.iter().try_for_each(|target| target.write(&mut text))?;
    write!(std::io::stdout().lock(), "{text}")?;
    write_json(&targets.iter().map(Target::json).collect(), json)
}

fn write_json(value: &Value, to: Option<&Path>) -> Result<(), Box<dyn Error>> {
    if let Some(path) = to {
        std::fs::write(path, format!("{value:#}\n"))?;
    }
    Ok(())
}

/// The largest node's memory, and the CPU that the cluster uses while nobody asks it anything.
async fn watch_idle(cluster: &Cluster) -> (Option<u64>, f64) {
    let pids: Vec<u32> = cluster.nodes.iter().map(|node| node.pid).collect();
    let start = Instant::now();
    let before = process::cpu_time_of_all(&pids);
    tokio::time::sleep(IDLE_WATCH).await;
    let used = process::cpu_time_of_all(&pids).saturating_sub(before);
    let largest = pids.iter().filter_map(|pid| process::resident_bytes(*pid)).max();
    (largest, used.as_secs_f64() / start.elapsed().as_secs_f64())
}
