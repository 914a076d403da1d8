//! The table, the JSON, and the targets as met or not met.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::failover::Failover;
use crate::peers::{Found, Peer};
use crate::suite::{Row, Work};
use crate::target::Target;
use crate::yardstick::Yardstick;

/// Everything that one run of the program found.
#[derive(Debug)]
pub(crate) struct Report {
    /// What bare signatures and verifications cost here.
    pub(crate) yardstick: Yardstick,
    /// The measurements.
    pub(crate) rows: Vec<Row>,
    /// The largest resident memory of an idle node, before any load, in bytes.
    pub(crate) idle_bytes: Option<u64>,
    /// The CPU share of an idle cluster: all nodes together, 1.0 is one core.
    pub(crate) idle_cpu: f64,
    /// What the loss of the leader cost, if it was tried.
    pub(crate) failover: Option<Failover>,
    /// What others did on the same machine, if they were asked.
    pub(crate) peers: Vec<Found>,
    /// Processors of the machine.
    pub(crate) cores: usize,
}

impl Report {
    /// The servers' CPU time per request, as a multiple of what can't be avoided.
    fn multiple(&self, row: &Row) -> Option<f64> {
        let bare =
            if row.work.is_verification() { self.yardstick.verification } else { self.yardstick.signature };
        Some(row.measured.server_cpu_per_request()?.as_secs_f64() / bare.as_secs_f64())
    }

    /// The row of this work with the most clients: there the idle background weighs least.
    fn busiest(&self, work: Work) -> Option<&Row> {
        self.rows.iter().filter(|row| row.work == work).max_by_key(|row| row.clients)
    }

    /// How many times as many requests a second as a peer's.
    fn times(&self, work: Work, peer: Peer) -> Option<f64> {
        let ours = self.busiest(work)?;
        let theirs = self.peers.iter().filter(|found| found.peer == peer && found.clients == ours.clients);
        let theirs = theirs.map(|found| found.requests_per_second).next_back()?;
        (theirs > 0.0).then(|| ours.measured.rate() / theirs)
    }

    fn targets(&self) -> Vec<Target> {
        let multiple = |work| self.busiest(work).and_then(|row| self.multiple(row));
        let cheaper = match (multiple(Work::VerifyFirst), multiple(Work::VerifyRepeated)) {
            (Some(first), Some(again)) if again > 0.0 => Some(first / again),
            _ => None,
        };
        let mebibytes = self.idle_bytes.map(mebibytes);
        let failover = self.failover.as_ref();
        let back = failover.and_then(Failover::median).map(|time| time.as_secs_f64());
        let failed = failover.map(|failover| count(failover.plain_failed));
        let (at_most, at_least) = (Target::at_most, Target::at_least);
        vec![
            at_most("issue plain: server CPU, x one bare signature", 4.0, multiple(Work::IssuePlain)),
            at_most(
                "verify first sight: server CPU, x one bare verification",
                2.0,
                multiple(Work::VerifyFirst),
            ),
            at_least("verify repeated: times cheaper than first sight", 5.0, cheaper),
            at_most("idle node: resident MiB, the largest", 40.0, mebibytes),
            at_least(
                "issue plain: x OpenBao's batch tokens beside it",
                3.0,
                self.times(Work::IssuePlain, Peer::OpenbaoBatch),
            ),
            at_least(
                "create recorded: x OpenBao's service tokens beside it",
                3.0,
                self.times(Work::CreateRecorded, Peer::OpenbaoService),
            ),
            at_least(
                "revoke: x OpenBao's service tokens beside it",
                3.0,
                self.times(Work::Revoke, Peer::OpenbaoService),
            ),
            at_least(
                "create recorded: x etcd's puts on the same disks",
                1.0,
                self.times(Work::CreateRecorded, Peer::Etcd),
            ),
            at_least("revoke: x etcd's puts on the same disks", 1.0, self.times(Work::Revoke, Peer::Etcd)),
            at_most("leader killed: writes back, median seconds", 1.0, back),
            at_most("leader killed: failed plain requests on the survivors", 0.0, failed),
        ]
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text).expect("writing to a string never fails");
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{} cores; bare signature {:.1} us, bare verification {:.1} us; idle cluster {:.1} % of a core",
            self.cores,
            micros(self.yardstick.signature),
            micros(self.yardstick.verification),
            self.idle_cpu * 100.0
        )?;
        writeln!(text)?;
        writeln!(
            text,
            "{:<20} {:>7} {:>9} {:>9} {:>9} {:>8} {:>10} {:>7}",
            "work", "clients", "req/s", "p50 ms", "p99 ms", "failed", "cpu us/req", "x bare"
        )?;
        for row in &self.rows {
            let measured = &row.measured;
            let cpu = measured.server_cpu_per_request().map_or(f64::NAN, micros);
            writeln!(
                text,
                "{:<20} {:>7} {:>9.0} {:>9.2} {:>9.2} {:>8} {:>10.1} {:>7.1}",
                row.work.name(),
                row.clients,
                measured.rate(),
                millis(measured.quantile(0.5)),
                millis(measured.quantile(0.99)),
                measured.failed,
                cpu,
                self.multiple(row).unwrap_or(f64::NAN)
            )?;
        }
        for row in &self.rows {
            if let Some(failure) = &row.measured.first_failure {
                writeln!(text, "first failure of {} at {}: {failure}", row.work.name(), row.clients)?;
            }
        }
        if let Some(failover) = &self.failover {
            writeln!(
                text,
                "\nleader killed {} times: writes back after {} ms; plain requests on the survivors meanwhile: {} done, {} failed",
                failover.writes_back.len(),
                failover
                    .writes_back
                    .iter()
                    .map(|time| time.as_millis().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                failover.plain_done,
                failover.plain_failed
            )?;
            if let Some(failure) = &failover.first_failure {
                writeln!(text, "first failure: {failure}")?;
            }
        }
        self.write_peers(text)?;
        writeln!(text)?;
        self.targets().iter().try_for_each(|target| target.write(text))
    }

    fn write_peers(&self, text: &mut String) -> std::fmt::Result {
        for found in &self.peers {
            writeln!(
                text,
                "{:<20} {:>7} {:>9.0} req/s, {} failed {}",
                format!("{:?}", found.peer),
                found.clients,
                found.requests_per_second,
                found.failed,
                found.first_failure.as_deref().unwrap_or_default()
            )?;
        }
        Ok(())
    }

    /// For programs. Times in microseconds.
    pub(crate) fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let measured = &row.measured;
                json!({
                    "work": row.work.name(),
                    "clients": row.clients,
                    "done": measured.done,
                    "failed": measured.failed,
                    "first_failure": measured.first_failure,
                    "requests_per_second": measured.rate(),
                    "p50_us": measured.quantile(0.5).map(micros),
                    "p99_us": measured.quantile(0.99).map(micros),
                    "server_cpu_us_per_request": measured.server_cpu_per_request().map(micros),
                    "multiple_of_bare": self.multiple(row),
                })
            })
            .collect();
        let targets: Vec<Value> = self.targets().iter().map(Target::json).collect();
        json!({
            "cores": self.cores,
            "bare_signature_us": micros(self.yardstick.signature),
            "bare_verification_us": micros(self.yardstick.verification),
            "idle_cpu_cores": self.idle_cpu,
            "idle_resident_mib": self.idle_bytes.map(mebibytes),
            "failover": self.failover.as_ref().map(|failover| json!({
                "writes_back_us": failover.writes_back.iter().map(|time| micros(*time)).collect::<Vec<_>>(),
                "plain_done": failover.plain_done,
                "plain_failed": failover.plain_failed,
                "first_failure": failover.first_failure,
            })),
            "peers": self.peers,
            "rows": rows,
            "targets": targets,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests in a run")]
fn count(requests: u64) -> f64 {
    requests as f64
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn millis(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

#[expect(clippy::cast_precision_loss, reason = "memory sizes are far below 2^52 bytes")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}
