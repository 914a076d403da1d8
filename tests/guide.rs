//! The table of what the guide to access tokens promises, `docs/guide.md`, names files and tests that exist.

use std::path::{Path, PathBuf};

/// Rows that the table has at least: fewer were read wrongly.
const ROWS_MIN: usize = 25;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    let shown = path.display();
    std::fs::read_to_string(path)
        .map_err(|error| format!("{shown}: {error}"))
        .expect("a file that the table names")
}

/// The rows of all tables: promise, places, tests.
fn rows() -> Vec<[String; 3]> {
    let text = read(&root().join("docs/guide.md"));
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| the guide |"));
    lines
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            <[String; 3]>::try_from(cells.collect::<Vec<_>>()).expect("a row has three cells")
        })
        .collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether the file defines a test of this name, in Rust or in Python.
fn defines(file: &Path, name: &str) -> bool {
    let opening = if file.extension().is_some_and(|ending| ending == "py") { "def " } else { "fn " };
    read(file).contains(&format!("{opening}{name}("))
}

#[test]
fn every_promise_of_the_guide_has_a_place_and_a_test() {
    let rows = rows();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    let mut missing = Vec::new();
    for [promise, places, tests] in &rows {
        let (places, tests) = (quoted(places), quoted(tests));
        if places.is_empty() || tests.is_empty() {
            missing.push(format!("{promise}: a place and a test"));
        }
        missing.extend(
            places
                .iter()
                .filter(|place| !root().join(place).exists())
                .map(|place| format!("{promise}: {place}")),
        );
        missing.extend(
            tests
                .iter()
                .filter(|test| {
                    !test.split_once("::").is_some_and(|(file, name)| defines(&root().join(file), name))
                })
                .map(|test| format!("{promise}: {test}")),
        );
    }
    assert!(missing.is_empty(), "docs/guide.md names what is not there:\n  {}", missing.join("\n  "));
}
