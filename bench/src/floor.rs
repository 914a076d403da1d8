//! What a required revocation floor costs: two clusters on the same disks, one of which requires a floor, do the same work by
//! turns, so that whatever else the machine does meanwhile slows down both.

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::connection::{Call, Connection};
use crate::load::Measured;
use crate::suite::{self, Row, Work};

/// How often each does it.
const ROUNDS: usize = 4;
/// A node's floor stands within this.
const STANDS_WITHIN: Duration = Duration::from_secs(30);
/// How often that is tried.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// Two clusters, and how they are driven.
pub(crate) struct Floored {
    /// The nodes of this one keep no floor.
    pub(crate) without: Cluster,
    /// The nodes of this one keep a floor each, which it is made to require.
    pub(crate) with: Cluster,
    /// How many clients at once.
    pub(crate) clients: usize,
    /// How long each workload of a round, at most.
    pub(crate) time: Duration,
}

/// What one kind of work cost, over all rounds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cost {
    done: u64,
    elapsed: Duration,
    server_cpu: Duration,
}

impl Cost {
    fn add(&mut self, measured: &Measured) {
        self.done += measured.done;
        self.elapsed += measured.elapsed;
        self.server_cpu += measured.server_cpu;
    }

    fn cpu_micros(self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.count()
    }

    fn rate(self) -> f64 {
        self.count() / self.elapsed.as_secs_f64()
    }

    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests in a run")]
    fn count(self) -> f64 {
        self.done as f64
    }
}

/// What a kind of work cost without and with a required floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compared {
    work: Work,
    without: Cost,
    with: Cost,
}

impl Floored {
    /// Measures both by turns.
    pub(crate) async fn run(self) -> Result<Vec<Compared>, Box<dyn Error>> {
        require(&self.with).await?;
        suite::prepare(&self.without).await?;
        suite::prepare(&self.with).await?;
        let nothing = |work| Compared { work, without: Cost::default(), with: Cost::default() };
        let mut compared = [Work::CreateRecorded, Work::Revoke].map(nothing);
        for round in 0..ROUNDS {
            // Who comes first is not always the same: a disk may remember what it was told last.
            for floored in [round % 2 == 0, round % 2 != 0] {
                let cluster = if floored { &self.with } else { &self.without };
                for Row { work, measured, .. } in suite::record(cluster, self.clients, self.time).await {
                    if let Some(first_failure) = measured.first_failure {
                        return Err(format!("{}: {first_failure}", work.name()).into());
                    }
                    for sum in compared.iter_mut().filter(|sum| sum.work == work) {
                        if floored { sum.with.add(&measured) } else { sum.without.add(&measured) }
                    }
                }
            }
        }
        if compared.iter().any(|sum| sum.with.done == 0 || sum.without.done == 0) {
            return Err("no request was answered in time".into());
        }
        Ok(compared.to_vec())
    }
}

/// Has a cluster require a floor, as soon as the node that is asked has one.
async fn require(cluster: &Cluster) -> Result<(), Box<dyn Error>> {
    let node = &cluster.nodes[0];
    let call = Call {
        method: Method::PATCH,
        path: "/circlet/v1/config".to_owned(),
        bearer: Some(cluster.admin_token.clone()),
        body: Some(("application/json", r#"{"revocation-floor.required":true}"#.into())),
    };
    let begun = Instant::now();
    loop {
        let reply = Connection::to(&node.authority).send(&call).await?;
        if reply.status == StatusCode::OK {
            return Ok(());
        }
        if reply.status != StatusCode::CONFLICT || begun.elapsed() > STANDS_WITHIN {
            let why = String::from_utf8_lossy(&reply.body).into_owned();
            return Err(format!("no floor can be required: {why}").into());
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// For people.
pub(crate) fn table(compared: &[Compared]) -> String {
    let mut text = format!(
        "{:<20} {:>11} {:>11} {:>6} {:>14} {:>14} {:>6}\n",
        "work", "req/s", "floor", "x", "cpu us/req", "floor", "x"
    );
    for Compared { work, without, with } in compared {
        writeln!(
            text,
            "{:<20} {:>11.0} {:>11.0} {:>6.2} {:>14.1} {:>14.1} {:>6.2}",
            work.name(),
            without.rate(),
            with.rate(),
            with.rate() / without.rate(),
            without.cpu_micros(),
            with.cpu_micros(),
            with.cpu_micros() / without.cpu_micros()
        )
        .expect("writing to a string never fails");
    }
    text
}

/// For programs. Times in microseconds.
pub(crate) fn json(compared: &[Compared]) -> Value {
    let cost = |cost: Cost| {
        json!({
            "done": cost.done,
            "requests_per_second": cost.rate(),
            "server_cpu_us_per_request": cost.cpu_micros(),
        })
    };
    let rows = compared.iter().map(|Compared { work, without, with }| {
        json!({
            "work": work.name(),
            "without": cost(*without),
            "with": cost(*with),
            "times_the_rate": with.rate() / without.rate(),
            "times_the_cpu": with.cpu_micros() / without.cpu_micros(),
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Compared, Cost, json, table};
    use crate::suite::Work;

    #[test]
    fn each_is_shown_beside_the_other_and_as_a_multiple_of_it() {
        let cost = |done, millis, cpu| Cost {
            done,
            elapsed: Duration::from_millis(millis),
            server_cpu: Duration::from_millis(cpu),
        };
        let compared =
            [Compared { work: Work::Revoke, without: cost(1000, 500, 400), with: cost(1000, 1000, 600) }];
        let found = json(&compared);
        assert_eq!((&found[0]["times_the_rate"], &found[0]["times_the_cpu"]), (&0.5.into(), &1.5.into()));
        let line =
            table(&compared).lines().nth(1).expect("a row").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, "revoke 2000 1000 0.50 400.0 600.0 1.50");
    }
}
