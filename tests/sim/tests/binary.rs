//! The command that people and CI run: what it says, what it exits with, and that its replay line does replay.

use std::path::Path;
use std::process::{Command, Output};

use circlet_sim::plant::Plant;

/// Runs the command in a directory.
fn run(directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_circlet-sim"));
    command.current_dir(directory).args(arguments).output().expect("the command can be run")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a line of a trace is a cluster, a step, a moment, and what happened then.
fn is_readable(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let [Some(cluster), Some(step), Some(moment), Some(_)] = [(); 4].map(|()| words.next()) else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    cluster.strip_prefix('c').is_some_and(is_number)
        && is_number(step)
        && moment.split_once('.').is_some_and(|(ms, us)| is_number(ms) && is_number(us))
}

fn assert_readable(trace: &Path) {
    let text = std::fs::read_to_string(trace).expect("the trace was written");
    assert!(text.lines().count() > 100, "{} lines", text.lines().count());
    let unreadable = text.lines().find(|line| !is_readable(line));
    assert_eq!(unreadable, None);
    assert!(text.contains("Started { node: 1, life: 1 }"), "it begins with the beginning");
}

#[test]
fn a_planted_bug_is_told_with_the_command_that_replays_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["--seeds", "20", "--plant", "answer-unseen", "--by", "acknowledged", "--trace", "f"];
    let found = run(directory.path(), &arguments);
    let text = said(&found);
    assert_eq!(found.status.code(), Some(1), "{text}");
    assert_readable(&directory.path().join("f"));
    let broken = text.lines().skip_while(|line| !line.starts_with("seed ")).take(3).collect::<Vec<_>>();
    let [seed, step, replay] = broken[..] else { panic!("not seed, step and replay: {text}") };
    assert!(seed.ends_with(": acknowledged is broken"), "{seed}");
    assert!(step.starts_with("  step "), "{step}");

    let replay = replay.strip_prefix("replay: cargo run --release -p circlet-sim -- ").expect("a command");
    let replay: Vec<&str> = replay.split(' ').collect();
    let again = run(directory.path(), &replay);
    let text = said(&again);
    assert_eq!(again.status.code(), Some(1), "{text}");
    assert!(text.lines().any(|line| line == seed) && text.lines().any(|line| line == step), "{text}");
    let trace = replay.iter().skip_while(|argument| **argument != "--trace").nth(1).expect("a file");
    let trace = directory.path().join(trace);
    assert_readable(&trace);
    let text = std::fs::read_to_string(trace).expect("the trace was written");
    let what = step.split_once(" ms: ").map_or("", |(_, what)| what);
    let broken = text.lines().filter(|line| line.ends_with(&format!(" BROKEN: acknowledged: {what}")));
    assert_eq!(broken.count(), 1, "the trace says where it is broken");
}

#[test]
fn a_trace_that_cannot_be_written_is_said_before_anything_is_sought() {
    let directory = tempfile::tempdir().expect("a directory");
    let refused = run(directory.path(), &["--seeds", "1", "--trace", "nowhere/f"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(said(&refused), "");
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("error: nowhere/f can't be written: "), "{why}");
}

#[test]
fn the_list_names_each_bug_that_must_be_caught_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = said(&run(directory.path(), &["--plant", "list"]));
    let named: Vec<&str> = text.lines().collect();
    let harmful = Plant::ALL.iter().filter(|(plant, _)| !plant.is_harmless()).map(|(_, name)| *name);
    assert_eq!(named, harmful.collect::<Vec<_>>());
    assert!(named.len() < Plant::ALL.len(), "one does no harm");
}

#[test]
fn a_clean_run_is_summed_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let clean = run(directory.path(), &["--seeds", "1", "--from", "5", "--trace", "f"]);
    let text = said(&clean);
    assert_eq!(clean.status.code(), Some(0), "{text}");
    assert_readable(&directory.path().join("f"));
    let count = |line: &str| line.trim_start().split(' ').next().and_then(|count| count.parse::<u64>().ok());
    let of = |kind: &str| {
        let line = text
            .lines()
            .find(|line| line.trim_start().trim_start_matches(char::is_numeric) == format!(" {kind}"));
        line.and_then(count).unwrap_or(0)
    };
    assert!(text.contains("1 seeds in ") && text.contains(" a second"), "{text}");
    assert!(text.lines().any(|line| line.contains(" steps in ") && count(line) > Some(1_000)), "{text}");
    assert!(of("issue") > 0 && of("verify accepted") > 0, "operations: {text}");
    assert!(of("crash") > 0, "faults: {text}");
}

#[test]
fn a_bug_that_is_not_caught_is_neither_found_nor_a_clean_run() {
    let directory = tempfile::tempdir().expect("a directory");
    // An invariant that has nothing to do with it.
    let missed = run(directory.path(), &["--seeds", "1", "--plant", "any-key", "--by", "node-ids"]);
    let text = said(&missed);
    assert_eq!(missed.status.code(), Some(2), "{text}");
    assert!(text.contains("any-key was not caught in 1 seeds"), "{text}");
}
