//! Measures three nodes in one process, over real sockets and disks: proposals per second, time to a new leader, and
//! what an idle cluster costs.
//!
//! `cargo run --release -p circlet-raft --example throughput [FOLDER]`; the disk of FOLDER is what is measured.

#![allow(clippy::unwrap_used, reason = "what fails here ends the measurement")]
#![allow(clippy::print_stdout, reason = "its output is what it is for")]
#![allow(dead_code, reason = "the tests use more of their support than this")]

#[path = "../tests/support/lines.rs"]
mod lines;
#[path = "../tests/support/nodes.rs"]
mod nodes;
#[path = "../../tests/support/ports.rs"]
mod ports;

use std::time::{Duration, Instant};

use circlet_raft::Settings;
use nodes::{Node, cluster, leader, until};

const MEASURED: Duration = Duration::from_secs(5);

fn main() {
    let folder = std::env::args().nth(1);
    let home = folder.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
    let mut nodes = cluster(&home, 3, &Settings::default());
    nodes[0].propose("compare clocks").unwrap();
    let at = leader(&nodes);
    for clients in [1, 16, 64] {
        println!("{clients:>3} clients at the leader:   {}", measure(&nodes[at], clients));
        println!("{clients:>3} clients at a follower:   {}", measure(&nodes[(at + 1) % 3], clients));
    }
    let before = cpu_ms();
    std::thread::sleep(MEASURED);
    let used = Duration::from_millis(cpu_ms() - before);
    let share = used.as_secs_f64() / MEASURED.as_secs_f64() * 100.0;
    println!("three idle nodes:            {share:.1} % of a core");
    for _ in 0..5 {
        let dead = leader(&nodes);
        let survivor = (dead + 1) % 3;
        nodes[dead].kill();
        let begun = Instant::now();
        until("writes resume", || nodes[survivor].propose("resumed").is_ok());
        println!("leader killed, writes after: {} ms", begun.elapsed().as_millis());
        nodes[dead].start();
        until("it is back", || nodes[dead].is_fresh_now());
    }
}

/// Has so many clients propose one after the other, and says how it went.
fn measure(node: &Node, clients: usize) -> String {
    let mut times: Vec<Duration> = node.wait(|raft| async move {
        let begun = Instant::now();
        let client = |number: usize| {
            let raft = raft.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < MEASURED {
                    let line = format!("{number} {} {}", times.len() % 100, "x".repeat(300));
                    let asked = Instant::now();
                    raft.propose(line.into_bytes()).await.unwrap();
                    times.push(asked.elapsed());
                }
                times
            })
        };
        let done = futures::future::join_all((0..clients).map(client)).await;
        done.into_iter().flat_map(Result::unwrap).collect()
    });
    times.sort_unstable();
    let percentile = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
    let rate = times.len() as u64 / MEASURED.as_secs();
    format!("{rate:>7} per second, p50 {:.2} ms, p99 {:.2} ms", percentile(50), percentile(99))
}

/// Processor time of this process so far.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
    ticks.sum::<u64>() * 10
}
