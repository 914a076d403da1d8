//! Bugs that are quick to catch are planted, so that every run of the tests sees the simulator catch some.

use std::collections::BTreeSet;
use std::path::Path;

use circlet_sim::invariant;
use circlet_sim::plant::Plant;
use circlet_sim::proof::PROOFS;
use circlet_sim::run::{Course, Plan, run};

/// A few of each room: the log, the state, keys, policy, reads.
const QUICK: [Plant; 5] =
    [Plant::AnswerUnseen, Plant::RefreshTwice, Plant::LocalClock, Plant::NoPolicy, Plant::AnyKey];
/// Each is caught within so many seeds.
const SEEDS: u64 = 8;

#[test]
fn quick_bugs_are_caught() {
    std::thread::scope(|threads| {
        let hunts = QUICK.map(|plant| (plant, threads.spawn(move || is_caught(plant))));
        for (plant, hunt) in hunts {
            assert!(hunt.join().expect("no panic"), "{} was not caught in {SEEDS} seeds", plant.name());
        }
    });
}

fn is_caught(plant: Plant) -> bool {
    let plan = |seed| Plan { seed, plant, course: Course::Brief, ..Plan::default() };
    (0..SEEDS).any(|seed| run(plan(seed)).violation.is_some())
}

#[test]
fn the_tables_name_every_bug_and_every_invariant() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulation.md");
    let text = std::fs::read_to_string(docs).expect("the docs of the simulation");
    let rows = |head: &str| -> BTreeSet<String> {
        let table = text.split_once(head).expect("a table").1;
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        rows.filter_map(|row| Some(row.split('|').nth(1)?.trim().to_owned())).collect()
    };
    let plants: BTreeSet<String> = Plant::ALL.iter().map(|(_, name)| (*name).to_owned()).collect();
    assert_eq!(rows("| planted | seeds until caught | by |"), plants);
    let invariants: BTreeSet<String> = invariant::names().map(str::to_owned).collect();
    assert_eq!(rows("| invariant | catches by itself | seeds until caught |"), invariants);
    assert_eq!(PROOFS.len(), invariants.len());
}
