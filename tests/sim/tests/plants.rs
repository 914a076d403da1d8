//! Bugs that are quick to catch are planted, so that every run of the tests sees the simulator catch some.

use circlet_sim::plant::Plant;
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
