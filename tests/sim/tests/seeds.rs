//! A seed repeats itself to the letter; without that nothing else that the simulator says is worth anything.

use std::collections::BTreeSet;

use circlet_sim::fault::Fault;
use circlet_sim::run::{Course, Plan, Report, run};

fn brief(seed: u64) -> Plan {
    Plan { seed, course: Course::Brief, keeps_lines: true, ..Plan::default() }
}

#[test]
fn a_seed_repeats_itself() {
    for seed in [1, 2] {
        assert_repeats(Plan { records_runtime: true, ..brief(seed) });
    }
}

/// A course on which a cluster is in a circle, ends, begins anew from a backup, ends, and begins anew from one node.
#[test]
fn a_seed_with_a_circle_and_clusters_that_begin_anew_repeats_itself() {
    let report =
        assert_repeats(Plan { seed: 0, course: Course::EachKind, keeps_lines: true, ..Plan::default() });
    assert!(report.violation.is_none(), "{:?}", report.violation);
    for fault in [Fault::FeedCut, Fault::Restored, Fault::Recovered] {
        assert!(report.faults.contains_key(&fault), "never happened: {}", fault.name());
    }
    assert!(report.operations.contains_key("shown abroad, accepted"), "no token went abroad");
}

/// Runs it twice, at once: the lines are equal, byte for byte.
fn assert_repeats(plan: Plan) -> Report {
    let (first, second): (Report, Report) = std::thread::scope(|threads| {
        let second = threads.spawn(move || run(plan));
        (run(plan), second.join().expect("no panic"))
    });
    let seed = plan.seed;
    assert!(first.lines.len() > 10_000, "much happened in seed {seed}: {}", first.lines.len());
    let differs = first.lines.iter().zip(&second.lines).find(|(one, other)| one != other);
    assert_eq!(differs, None, "seed {seed}: the first line that differs");
    assert_eq!(first.lines.len(), second.lines.len(), "seed {seed}");
    first
}

#[test]
fn different_seeds_are_different() {
    assert_ne!(run(brief(3)).lines, run(brief(4)).lines);
}

#[test]
fn nothing_is_broken_in_a_few_seeds() {
    for seed in 5..8 {
        let report = run(brief(seed));
        assert!(report.violation.is_none(), "seed {seed}: {:?}", report.violation);
    }
}

#[test]
fn each_kind_of_fault_happens() {
    // One seed may end before what is rare has happened.
    let mut happened = BTreeSet::new();
    for seed in 0..9 {
        let report = run(Plan { seed, course: Course::EachKind, ..Plan::default() });
        assert!(report.violation.is_none(), "seed {seed}: {:?}", report.violation);
        happened.extend(report.faults.into_keys());
        if happened.len() == Fault::ALL.len() {
            return;
        }
    }
    let absent: Vec<_> = Fault::ALL.iter().filter(|fault| !happened.contains(fault)).collect();
    panic!("never happened: {absent:?}");
}
