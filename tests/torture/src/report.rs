//! What a run came to, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::judge::{Judge, Violation};

/// What a run came to.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) seconds: u64,
    pub(crate) steps: u64,
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) operations: BTreeMap<&'static str, u64>,
    pub(crate) gaps_ms: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<Violation>,
}

impl Report {
    /// What the judge has seen.
    pub(crate) fn of(judge: &Judge, seed: u64, nodes: usize, gaps_ms: BTreeMap<&'static str, u64>) -> Self {
        let (steps, faults, operations) = judge.counts();
        let (seconds, violations) = (judge.now() / 1_000_000_000, judge.violations());
        Self { seed, nodes, seconds, steps, faults, operations, gaps_ms, violations }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let violations: Vec<Value> = self
            .violations
            .iter()
            .map(|broken| json!({"invariant": broken.invariant, "at_ms": broken.at_ms, "what": broken.what}))
            .collect();
        json!({
            "seed": self.seed,
            "nodes": self.nodes,
            "seconds": self.seconds,
            "steps": self.steps,
            "faults": self.faults,
            "operations": self.operations,
            "gaps_ms": self.gaps_ms,
            "violations": violations,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let head =
            format!("seed {}: {} nodes, {} events in {} s", self.seed, self.nodes, self.steps, self.seconds);
        // Writing to a string never fails.
        let _ = writeln!(text, "{head}");
        for (name, counts) in
            [("faults", &self.faults), ("operations", &self.operations), ("longest gaps, ms", &self.gaps_ms)]
        {
            let _ = writeln!(text, "{name}:");
            for (what, count) in counts {
                let _ = writeln!(text, "  {count:>8} {what}");
            }
        }
        let _ = writeln!(text, "violations: {}", self.violations.len());
        for broken in &self.violations {
            let _ = writeln!(text, "  {} ms: {}: {}", broken.at_ms, broken.invariant, broken.what);
        }
        text
    }
}
