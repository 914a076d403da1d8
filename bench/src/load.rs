//! A closed loop: every client sends its next request when the last one is answered, on a connection of its own.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::connection::{Call, Connection, Protocol, Reply};
use crate::process;

/// What one client does, request after request.
pub(crate) trait Client: Send + 'static {
    /// The next request; `None` when there is nothing left to do.
    fn next(&mut self) -> Option<Call>;
    /// Looks at the reply: whether it is what the workload expects.
    fn accept(&mut self, reply: &Reply) -> bool;
    /// What it speaks.
    fn protocol(&self) -> Protocol {
        Protocol::Http1
    }
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
        let connection = Connection::speaking(&node.authority, client.protocol());
        tasks.spawn(drive(client, connection, start + time));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::Method;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::{Client, run};
    use crate::cluster::{Cluster, Node};
    use crate::connection::{Call, Reply};

    /// Asks a number of times, and wants to hear "yes".
    struct Asks(usize);

    impl Client for Asks {
        fn next(&mut self) -> Option<Call> {
            self.0 = self.0.checked_sub(1)?;
            Some(Call { method: Method::GET, path: "/".to_owned(), bearer: None, body: None })
        }

        fn accept(&mut self, reply: &Reply) -> bool {
            reply.body == "yes"
        }
    }

    /// Answers every third request with "no".
    async fn serve(listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 1024];
            for turn in 1.. {
                if !matches!(stream.read(&mut buffer).await, Ok(bytes) if bytes > 0) {
                    break;
                }
                let word = if turn % 3 == 0 { "no" } else { "yes" };
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{word}", word.len());
                stream.write_all(answer.as_bytes()).await.expect("the client reads");
            }
        }
    }

    #[tokio::test]
    async fn counts_what_was_answered_as_expected_and_what_was_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let authority = listener.local_addr().expect("an address").to_string();
        tokio::spawn(serve(listener));
        let node = Node { id: 1, authority, pid: std::process::id(), home: String::new() };
        let cluster = Cluster { nodes: vec![node], admin_token: String::new() };
        let measured = run(&cluster, vec![Box::new(Asks(9))], Duration::from_secs(20)).await;
        assert_eq!((measured.done, measured.failed), (6, 3));
        assert!(measured.first_failure.is_some_and(|failure| failure.contains("200 OK no")));
        assert!(measured.latencies.is_sorted());
    }
}
