//! The report of a drill, and whether it has met what was asked of it.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::aftermath::Left;
use super::elections::Election;
use super::fleet::Fleet;
use super::record::{Mark, Operation, Record, Sample, longest_gap};
use super::{Plan, timeline};

/// What an operator asks for beside what must always be so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Objectives {
    /// The longest time without a refresh or without a revoke.
    pub write_gap_max: Option<Duration>,
    /// The longest time without a plain token issued or verified.
    pub plain_gap_max: Option<Duration>,
    /// How many plain requests no node may have served.
    pub plain_failed_max: Option<u64>,
}

/// What a drill has found.
pub struct Findings {
    pub(super) length_ms: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) marks: Vec<Mark>,
    pub(super) elections: Vec<Election>,
    service_id: String,
    nodes: usize,
    rate: u32,
    operations: Vec<Sum>,
    stale_accepts: u64,
    double_refreshes: u64,
    left: Left,
    problems: Vec<String>,
    missed: Vec<String>,
}

/// One operation in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) operation: Operation,
    done: u64,
    failed: u64,
    retried: u64,
    longest_gap_ms: u64,
    /// When that began.
    pub(super) gap_at_ms: u64,
}

impl Sum {
    fn of(operation: Operation, samples: &[Sample], length_ms: u64) -> Self {
        let own = || samples.iter().filter(|sample| sample.operation == operation);
        let count = |wanted: &dyn Fn(&Sample) -> bool| own().filter(|sample| wanted(sample)).count() as u64;
        let (longest_gap_ms, gap_at_ms) = longest_gap(own(), length_ms);
        Self {
            operation,
            done: count(&|sample| sample.done),
            failed: count(&|sample| !sample.done),
            retried: count(&|sample| sample.done && sample.retried),
            longest_gap_ms,
            gap_at_ms,
        }
    }

    /// How long it was, in milliseconds.
    pub(super) fn longest_gap_ms(&self) -> u64 {
        self.longest_gap_ms
    }
}

impl Findings {
    pub(super) fn of(
        plan: &Plan,
        fleet: &Fleet,
        record: &Record,
        elections: Vec<Election>,
        left: Left,
        still_alive: Option<i32>,
    ) -> Self {
        let (samples, length_ms) = (record.samples(), record.length_ms());
        let (stale_accepts, double_refreshes) = record.broken();
        let operations = Operation::ALL.map(|operation| Sum::of(operation, &samples, length_ms)).to_vec();
        let mut findings = Self {
            length_ms,
            samples,
            marks: record.marks(),
            elections,
            service_id: fleet.service_id().to_owned(),
            nodes: fleet.nodes().len(),
            rate: plan.rate,
            operations,
            stale_accepts,
            double_refreshes,
            left,
            problems: record.problems(),
            missed: Vec::new(),
        };
        findings.missed = findings.judge(&plan.objectives, still_alive);
        findings
    }

    fn judge(&self, objectives: &Objectives, still_alive: Option<i32>) -> Vec<String> {
        let mut missed = Vec::new();
        missed.extend(still_alive.map(|pid| format!("process {pid} should have been killed and lives")));
        let none = |what: &str, count: u64| (count > 0).then(|| format!("{what}: {count}, must be 0"));
        if self.left.asked_for == 0 {
            missed.push("no node could be asked for what was acknowledged".to_owned());
        }
        missed.extend(none("lost acknowledgements", self.left.lost_acks));
        missed.extend(none("acknowledgements that a node could not tell of", self.left.unanswered));
        missed.extend(self.left.not_back.iter().map(|who| format!("a node runs and is not back: {who}")));
        missed.extend(none("revoked tokens accepted after the bound", self.stale_accepts));
        missed.extend(none("refresh tokens used twice", self.double_refreshes));
        let silent = self.operations.iter().filter(|sum| sum.done == 0);
        missed.extend(silent.map(|sum| format!("{}: never done", sum.operation.name())));
        let longer = |what: &str, found: u64, most: Option<Duration>| {
            let most = u64::try_from(most?.as_millis()).unwrap_or(u64::MAX);
            (found > most).then(|| format!("{what}: {found} ms, at most {most} ms were asked for"))
        };
        missed.extend(longer("longest gap of writes", self.gap_ms(true), objectives.write_gap_max));
        missed.extend(longer("longest gap of plain tokens", self.gap_ms(false), objectives.plain_gap_max));
        if let Some(most) = objectives.plain_failed_max.filter(|most| self.plain_failed() > *most) {
            missed.push(format!(
                "failed plain requests: {}, at most {most} were asked for",
                self.plain_failed()
            ));
        }
        missed
    }

    /// Why the drill has failed; nothing if it hasn't.
    #[must_use]
    pub fn missed(&self) -> &[String] {
        &self.missed
    }

    fn gap_ms(&self, of_writes: bool) -> u64 {
        let of_kind = self.operations.iter().filter(|sum| sum.operation.is_write() == of_writes);
        of_kind.map(|sum| sum.longest_gap_ms).max().unwrap_or(0)
    }

    fn plain_failed(&self) -> u64 {
        self.operations.iter().filter(|sum| !sum.operation.is_write()).map(|sum| sum.failed).sum()
    }

    /// The operations in numbers.
    pub(super) fn sums(&self) -> &[Sum] {
        &self.operations
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let sum = |sum: &Sum| {
            let value = json!({
                "done": sum.done, "failed": sum.failed, "retried": sum.retried, "longest_gap_ms": sum.longest_gap_ms,
            });
            (sum.operation.name().to_owned(), value)
        };
        json!({
            "passed": self.missed.is_empty(),
            "write_gap_ms": self.gap_ms(true),
            "plain_gap_ms": self.gap_ms(false),
            "plain_failed": self.plain_failed(),
            "lost_acks": self.left.lost_acks,
            "stale_accepts": self.stale_accepts,
            "double_refreshes": self.double_refreshes,
            "elections": self.elections.iter().map(Election::json).collect::<Vec<_>>(),
            "events": self.marks.iter().map(|mark| json!({"at_ms": mark.at_ms, "what": mark.what})).collect::<Vec<_>>(),
            "operations": self.operations.iter().map(sum).collect::<serde_json::Map<_, _>>(),
            "acks_asked_for": self.left.asked_for,
            "acks_unanswered": self.left.unanswered,
            "not_back": self.left.not_back,
            "unreachable": self.left.unreachable,
            "service_id": self.service_id,
            "nodes": self.nodes,
            "rate": self.rate,
            "length_ms": self.length_ms,
            "problems": self.problems,
            "missed": self.missed,
        })
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("writing to a string never fails");
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (secs, rate, nodes) = (self.length_ms / 1_000, self.rate, self.nodes);
        writeln!(
            text,
            "{}: {nodes} nodes, {secs} s, each operation {rate} times a second\n",
            self.service_id
        )?;
        for mark in &self.marks {
            writeln!(text, "{:>7} ms  {}", mark.at_ms, mark.what)?;
        }
        for won in &self.elections {
            writeln!(
                text,
                "{:>7} ms  {} leads in term {}, after {} ms",
                won.at_ms, won.leader, won.term, won.took_ms
            )?;
        }
        writeln!(
            text,
            "\n{:<10} {:>8} {:>8} {:>14} {:>12}",
            "OPERATION", "DONE", "FAILED", "BY ANOTHER", "LONGEST GAP"
        )?;
        for sum in &self.operations {
            let (name, gap) = (sum.operation.name(), sum.longest_gap_ms);
            writeln!(text, "{name:<10} {:>8} {:>8} {:>14} {gap:>9} ms", sum.done, sum.failed, sum.retried)?;
        }
        writeln!(
            text,
            "\nacknowledgements lost           {} of {} asked for",
            self.left.lost_acks, self.left.asked_for
        )?;
        writeln!(text, "acknowledgements not told of    {}", self.left.unanswered)?;
        writeln!(text, "revoked tokens accepted         {}", self.stale_accepts)?;
        writeln!(text, "refresh tokens used twice       {}", self.double_refreshes)?;
        if !self.left.unreachable.is_empty() {
            writeln!(text, "nodes that could not be asked   {}", self.left.unreachable.join(", "))?;
        }
        for who in &self.left.not_back {
            writeln!(text, "a node that is not back         {who}")?;
        }
        for problem in &self.problems {
            writeln!(text, "  {problem}")?;
        }
        match self.missed.as_slice() {
            [] => writeln!(text, "\npassed"),
            missed => missed.iter().try_for_each(|missed| writeln!(text, "\nMISSED  {missed}")),
        }
    }

    /// A picture, as SVG.
    #[must_use]
    pub fn picture(&self) -> String {
        timeline::draw(self)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Findings, Left, Objectives, Operation, Sample, Sum};

    /// Requests of each operation every 100 ms for a second, but writes rest from 200 ms to 700 ms.
    fn found(lost_acks: u64, stale_accepts: u64, double_refreshes: u64) -> Findings {
        let at = |operation: Operation, at_ms| Sample { operation, at_ms, done: true, retried: false };
        let times = |operation: Operation| {
            (0..=10)
                .map(|tenth| tenth * 100)
                .filter(move |at| !operation.is_write() || !(201..700).contains(at))
        };
        let samples: Vec<Sample> =
            Operation::ALL.iter().flat_map(|kind| times(*kind).map(|time| at(*kind, time))).collect();
        let operations = Operation::ALL.map(|operation| Sum::of(operation, &samples, 1_000)).to_vec();
        Findings {
            length_ms: 1_000,
            samples,
            marks: Vec::new(),
            elections: Vec::new(),
            service_id: "jfrt@x".to_owned(),
            nodes: 3,
            rate: 10,
            operations,
            stale_accepts,
            double_refreshes,
            left: Left { lost_acks, asked_for: 10, ..Left::default() },
            problems: Vec::new(),
            missed: Vec::new(),
        }
    }

    #[test]
    fn what_must_never_be_fails_without_any_objective() {
        let none = Objectives::default();
        assert_eq!(found(0, 0, 0).judge(&none, None), Vec::<String>::new());
        for broken in [found(1, 0, 0), found(0, 1, 0), found(0, 0, 1)] {
            assert_eq!(broken.judge(&none, None).len(), 1);
        }
        let left = |unanswered, not_back| Left { unanswered, not_back, asked_for: 10, ..Left::default() };
        for (left, why) in [
            (left(7, Vec::new()), "acknowledgements that a node could not tell of: 7, must be 0"),
            (left(0, vec!["node-1: disk_full".to_owned()]), "a node runs and is not back: node-1: disk_full"),
        ] {
            let silent = Findings { left, ..found(0, 0, 0) };
            assert_eq!(silent.judge(&none, None), [why]);
        }
        let unasked = Findings { left: Left::default(), ..found(0, 0, 0) };
        assert_eq!(unasked.judge(&none, None).len(), 1);
        assert_eq!(found(0, 0, 0).judge(&none, Some(7)), ["process 7 should have been killed and lives"]);
    }

    #[test]
    fn a_gap_is_measured_against_its_own_objective() {
        let found = found(0, 0, 0);
        assert_eq!((found.gap_ms(true), found.gap_ms(false)), (500, 100));
        let asked = |millis| Some(Duration::from_millis(millis));
        let objectives = |write_gap_max, plain_gap_max| Objectives {
            write_gap_max,
            plain_gap_max,
            plain_failed_max: Some(0),
        };
        assert!(found.judge(&objectives(asked(500), asked(100)), None).is_empty());
        assert_eq!(found.judge(&objectives(asked(499), asked(99)), None).len(), 2);
    }
}
