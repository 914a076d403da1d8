//! A seed repeats itself to the letter; without that nothing else that the simulator says is worth anything.

use std::collections::BTreeSet;

use circlet_sim::fault::Fault;
use circlet_sim::plant::Plant;
use circlet_sim::run::{Course, Plan, Report, run};

fn brief(seed: u64) -> Plan {
    Plan { seed, course: Course::Brief, keeps_lines: true, ..Plan::default() }
}

#[test]
fn a_seed_repeats_itself() {
    for seed in [1, 2] {
        let plan = Plan { records_runtime: true, ..brief(seed) };
        let (first, second): (Report, Report) = (run(plan), run(plan));
        assert!(first.lines.len() > 10_000, "much happened in seed {seed}: {}", first.lines.len());
        let differs = first.lines.iter().zip(&second.lines).position(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}: the first line that differs");
        assert_eq!(first.lines.len(), second.lines.len(), "seed {seed}");
    }
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
fn a_planted_bug_is_caught() {
    let caught = (0..20).any(|seed| {
        let plan = Plan { plant: Plant::AnswerUnseen, ..brief(seed) };
        run(plan).violation.is_some_and(|violation| violation.invariant == "acknowledged")
    });
    assert!(caught);
}

#[test]
fn each_kind_of_fault_happens() {
    // One seed may end before what is rare has happened.
    let mut happened = BTreeSet::new();
    for seed in 0..3 {
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
