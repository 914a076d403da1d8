//! A closed loop: every client sends its next request when the last one is answered, on a connection of its own.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::connection::{Call, Connection, Reply};
use crate::process;

/// What one client does, request after request.
pub(crate) trait Client: Send + 'static {
    /// The next request; `None` when there is nothing left to do.
    fn next(&mut self) -> Option<Call>;
    /// Looks at the reply: whether it is what the workload expects.
    fn accept(&mut self, reply: &Reply) -> bool;
}

/// What a run measured.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Requests answered as expected.
    pub(crate) done: u64,
    /// Requests without an answer, or with another one than expected.
    pub(crate) failed: u64,
    /// The first failure, for the report.
    pub(crate) first_failure: Option<String>,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// Sorted latencies of the requests that were answered as expected.
    latencies: Vec<Duration>,
    /// What all servers' processes used meanwhile.
    pub(crate) server_cpu: Duration,
}

impl Measured {
    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { count(self.done) / seconds } else { 0.0 }
    }

    /// The latency that this share of the requests stayed within, `0.5` for the median.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let last = self.latencies.len().checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank within the vector"
        )]
        let rank = (last as f64 * share).round() as usize;
        self.latencies.get(rank.min(last)).copied()
    }

    /// The servers' CPU time per request.
    pub(crate) fn server_cpu_per_request(&self) -> Option<Duration> {
        (self.done > 0).then(|| self.server_cpu.div_f64(count(self.done)))
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests in a run")]
fn count(requests: u64) -> f64 {
    requests as f64
}

#[derive(Default)]
struct Tally {
    latencies: Vec<Duration>,
    failed: u64,
    first_failure: Option<String>,
}

/// Runs the clients, spread over the nodes round robin, until the time is up or they have nothing left to do.
pub(crate) async fn run(cluster: &Cluster, clients: Vec<Box<dyn Client>>, time: Duration) -> Measured {
    let pids: Vec<u32> = cluster.nodes.iter().map(|node| node.pid).collect();
    let cpu_before = process::cpu_time_of_all(&pids);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (client, node) in clients.into_iter().zip(cluster.nodes.iter().cycle()) {
        tasks.spawn(drive(client, Connection::to(&node.authority), start + time));
    }
    let mut total = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        let tally = joined.expect("a client's task neither panics nor is cancelled");
        total.latencies.extend(tally.latencies);
        total.failed += tally.failed;
        total.first_failure = total.first_failure.or(tally.first_failure);
    }
    let elapsed = start.elapsed();
    let server_cpu = process::cpu_time_of_all(&pids).saturating_sub(cpu_before);
    total.latencies.sort_unstable();
    Measured {
        done: u64::try_from(total.latencies.len()).unwrap_or(u64::MAX),
        failed: total.failed,
        first_failure: total.first_failure,
        elapsed,
        latencies: total.latencies,
        server_cpu,
    }
}

async fn drive(mut client: Box<dyn Client>, mut connection: Connection, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let Some(call) = client.next() else { break };
        let start = Instant::now();
        let failure = match connection.send(&call).await {
            Ok(reply) if client.accept(&reply) => {
                tally.latencies.push(start.elapsed());
                continue;
            }
            Ok(reply) => describe(&call, &reply),
            Err(error) => format!("{} {}: {error}", call.method, call.path),
        };
        tally.failed += 1;
        tally.first_failure.get_or_insert(failure);
    }
    tally
}

fn describe(call: &Call, reply: &Reply) -> String {
    let body = String::from_utf8_lossy(&reply.body);
    let body: String = body.chars().take(300).collect();
    format!("{} {}: {} {body}", call.method, call.path, reply.status)
}
