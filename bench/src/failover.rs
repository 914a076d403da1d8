//! The leader is killed, again and again: how long until writes are back, and what the survivors' plain tokens noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, Node};
use crate::connection::{Call, Connection, Reply};
use crate::load::Client;
use crate::started::{self, Started};
use crate::workload::{Create, Keep, Kind, Pool, Verify};

/// How long one round may take before it counts as lost.
const ROUND_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a write is tried while there is no leader.
const TRY_EVERY: Duration = Duration::from_millis(5);
/// The cluster is left alone this long between two rounds.
const REST: Duration = Duration::from_secs(2);

/// What the rounds found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failover {
    /// From the kill to the first acknowledged write on a survivor, of each round, sorted.
    pub(crate) writes_back: Vec<Duration>,
    /// Plain tokens issued and verified on survivors meanwhile.
    pub(crate) plain_done: u64,
    /// Those that failed.
    pub(crate) plain_failed: u64,
    /// The first such failure.
    pub(crate) first_failure: Option<String>,
}

impl Failover {
    /// The median time until writes are back.
    pub(crate) fn median(&self) -> Option<Duration> {
        self.writes_back.get(self.writes_back.len() / 2).copied()
    }
}

/// Why the rounds ended early.
#[derive(Debug, thiserror::Error)]
#[error("failover round {round}: {what}")]
pub(crate) struct FailoverError {
    round: usize,
    what: String,
}

/// Kills the leader `rounds` times, and starts it again with `program` each time.
pub(crate) async fn run(
    mut cluster: Cluster,
    program: &std::path::Path,
    rounds: usize,
) -> Result<Failover, FailoverError> {
    let mut found = Failover::default();
    let mut restarted: Vec<Started> = Vec::new();
    for round in 1..=rounds {
        let failed = |what: String| FailoverError { round, what };
        let leader = leader(&cluster).await.map_err(failed)?;
        let survivors: Vec<Node> = others(&cluster, leader);
        let watch = PlainWatch::start(&cluster.admin_token, &survivors);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let pid = i32::try_from(cluster.nodes[leader].pid).ok().and_then(Pid::from_raw);
        let killed = Instant::now();
        kill_process(pid.ok_or_else(|| failed("no process id".to_owned()))?, Signal::KILL)
            .map_err(|error| failed(error.to_string()))?;
        let back = first_write(&cluster.admin_token, &survivors, killed).await.map_err(failed)?;
        found.writes_back.push(back);
        watch.stop(&mut found).await;
        let again = Started::start(program, &mut cluster.nodes[leader]);
        restarted.push(again.map_err(|error| failed(error.to_string()))?);
        started::ready(&cluster.nodes[leader], ROUND_TIMEOUT).await.map_err(failed)?;
        tokio::time::sleep(REST).await;
    }
    found.writes_back.sort_unstable();
    Ok(found)
}

fn others(cluster: &Cluster, than: usize) -> Vec<Node> {
    let nodes = cluster.nodes.iter().enumerate();
    nodes.filter(|(number, _)| *number != than).map(|(_, node)| node.clone()).collect()
}

async fn leader(cluster: &Cluster) -> Result<usize, String> {
    let call = Call {
        method: Method::GET,
        path: "/circlet/v1/cluster/status".to_owned(),
        bearer: Some(cluster.admin_token.clone()),
        body: None,
    };
    let start = Instant::now();
    while start.elapsed() < ROUND_TIMEOUT {
        let reply = Connection::to(&cluster.nodes[0].authority).send(&call).await;
        let status: Value = reply.map_or(Value::Null, |reply| json(&reply));
        let leads = |node: &Node| status["leader"].as_u64() == Some(node.id);
        if let Some(place) = cluster.nodes.iter().position(leads) {
            return Ok(place);
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    Err("no leader".to_owned())
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// Tries a recorded create on the survivors in turn until one is acknowledged.
async fn first_write(admin_token: &str, survivors: &[Node], killed: Instant) -> Result<Duration, String> {
    let pool = Pool::default();
    let mut create = Create::new(admin_token, Kind::Recorded, Keep::Id, &pool, usize::MAX);
    let mut connections: Vec<Connection> =
        survivors.iter().map(|node| Connection::to(&node.authority)).collect();
    let mut last = String::from("no try");
    while killed.elapsed() < ROUND_TIMEOUT {
        for connection in &mut connections {
            let Some(call) = create.next() else { continue };
            match connection.send(&call).await {
                Ok(reply) if create.accept(&reply) => return Ok(killed.elapsed()),
                Ok(reply) => last = reply.status.to_string(),
                Err(error) => last = error.to_string(),
            }
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    Err(format!("no write for {} s; the last answer was {last}", ROUND_TIMEOUT.as_secs()))
}

/// One client on each survivor that issues plain tokens and verifies them, without a second try.
struct PlainWatch {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl PlainWatch {
    fn start(admin_token: &str, survivors: &[Node]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let watch = |node: &Node| tokio::spawn(plain(admin_token.to_owned(), node.clone(), stop.clone()));
        let tasks = survivors.iter().map(watch).collect();
        Self { stop, tasks }
    }

    async fn stop(self, found: &mut Failover) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let (done, failures) = task.await.expect("a client's task neither panics nor is cancelled");
            found.plain_done += done;
            found.plain_failed += u64::try_from(failures.len()).unwrap_or(u64::MAX);
            found.first_failure = found.first_failure.take().or(failures.into_iter().next());
        }
    }
}

async fn plain(admin_token: String, node: Node, stop: Arc<AtomicBool>) -> (u64, Vec<String>) {
    let pool = Pool::default();
    let mut create = Create::new(&admin_token, Kind::Plain, Keep::AccessToken, &pool, usize::MAX);
    let mut verify = Verify::Each(pool);
    let mut connection = Connection::to(&node.authority);
    let (mut done, mut failures) = (0, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let clients: [&mut dyn Client; 2] = [&mut create, &mut verify];
        for client in clients {
            let Some(call) = client.next() else { continue };
            match connection.send(&call).await {
                Ok(reply) if client.accept(&reply) => done += 1,
                Ok(reply) => failures.push(format!("{}: {}", node.authority, reply.status)),
                Err(error) => failures.push(format!("{}: {error}", node.authority)),
            }
        }
    }
    (done, failures)
}
