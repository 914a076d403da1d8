//! The tables of bugs that were found, `docs/bugs-found.md`: each row has a command that replays it and the commit that
//! fixed it, and what it names is there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{assert_none, files, read, root};

const PAGE: &str = "docs/bugs-found.md";

/// Rows that the page has at least: fewer were read wrongly.
const ROWS_MIN: usize = 35;

/// What a command begins with.
const COMMANDS: [&str; 3] = ["cargo test --workspace ", "cargo run --release -p circlet-sim -- ", "scripts/"];

/// One row of either table: their last two cells are alike.
struct Row {
    what: String,
    replayed_by: String,
    commit: String,
}

impl Row {
    fn quoted(&self) -> impl Iterator<Item = &str> {
        self.replayed_by.split('`').skip(1).step_by(2)
    }

    fn commands(&self) -> impl Iterator<Item = &str> {
        self.quoted().filter(|quoted| COMMANDS.iter().any(|command| quoted.starts_with(command)))
    }

    /// A finding about this row.
    fn lacks(&self, what: &str) -> String {
        format!("\"{}...\": {what}", self.what.chars().take(60).collect::<String>())
    }
}

fn rows() -> Vec<Row> {
    let text = read(&root().join(PAGE));
    let lines = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| what |"));
    let rows: Vec<Row> = lines
        .map(|line| {
            let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            let [what, _, replayed_by, commit] =
                <[String; 4]>::try_from(cells.collect::<Vec<_>>()).expect("a row has four cells");
            Row { what, replayed_by, commit }
        })
        .collect();
    assert!(rows.len() >= ROWS_MIN, "{} rows", rows.len());
    rows
}

/// Whether a command of cargo finds a test in this file, by what it says after `--workspace`: `--lib`, or `--test NAME`.
fn is_searched(kind: &str, file: &Path) -> bool {
    match kind.strip_prefix("--test ") {
        None => kind == "--lib" && file.iter().any(|part| part == "src"),
        Some(target) => file.iter().zip(file.iter().skip(1)).any(|(folder, name)| {
            folder == "tests" && Path::new(name).file_stem().is_some_and(|stem| stem == target)
        }),
    }
}

/// What is wrong with a command, if anything is.
fn defect_of(command: &str, row: &Row, sources: &[(PathBuf, String)]) -> Option<String> {
    let words: Vec<&str> = command.split(' ').collect();
    let after = |word: &str| words.iter().skip_while(|w| **w != word).nth(1).copied();
    if let Some(rest) = command.strip_prefix("cargo test --workspace ") {
        let (kind, name) = rest.rsplit_once(' ').unwrap_or_default();
        let test = format!("fn {name}(");
        let is_there = sources.iter().any(|(file, text)| is_searched(kind, file) && text.contains(&test));
        return (!is_there).then(|| format!("no test of `{command}`"));
    }
    if let Some(plant) = after("--plant") {
        let is_there = read(&root().join("tests/sim/src/plant.rs")).contains(&format!("\"{plant}\""));
        return (!is_there).then(|| format!("no such plant: {plant}"));
    }
    if after("--from").is_some() {
        let is_whole = row.replayed_by.contains(" at the commit, with ");
        return (!is_whole).then(|| "it doesn't say what to take out for the seed".to_owned());
    }
    let script = words.first().filter(|script| root().join(script).is_file());
    script.is_none().then(|| format!("`{command}` replays nothing"))
}

#[test]
fn every_bug_that_was_found_has_a_command_that_replays_it() {
    let files = files(&root(), ".rs").into_iter();
    let sources: Vec<(PathBuf, String)> =
        files.map(|file| (file.strip_prefix(root()).unwrap_or(&file).to_path_buf(), read(&file))).collect();
    let mut findings = Vec::new();
    for row in rows() {
        if row.commands().next().is_none() {
            findings.push(row.lacks("no command"));
        }
        let defects = row.commands().filter_map(|command| defect_of(command, &row, &sources));
        findings.extend(defects.map(|defect| row.lacks(&defect)));
        let paths = row.quoted().filter(|quoted| quoted.contains('/') && !quoted.contains(' '));
        findings.extend(
            paths.filter(|path| !root().join(path).exists()).map(|path| row.lacks(&format!("no {path}"))),
        );
    }
    assert_none(PAGE, &findings);
}

/// Subjects by hash of all commits that came before this tree; or why they aren't there to be looked at.
fn history() -> Result<BTreeMap<String, String>, String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root()).output();
        let output = output.map_err(|error| format!("git can't be run: {error}"))?;
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    if !root().join(".git").exists() {
        return Err("this tree is no clone".to_owned());
    }
    if git(&["rev-parse", "--is-shallow-repository"])? == "true" {
        return Err("this clone is shallow; git fetch --unshallow brings the history".to_owned());
    }
    let log = git(&["log", "--format=%H %s"])?;
    let commits = log.lines().filter_map(|line| line.split_once(' '));
    Ok(commits.map(|(hash, subject)| (hash.to_owned(), subject.to_owned())).collect())
}

/// What is wrong with how a row names its commit, if anything is.
fn wrong_commit(row: &Row, history: Option<&BTreeMap<String, String>>) -> Option<String> {
    let named = row.commit.split_once(' ').and_then(|(hash, rest)| {
        let subject = rest.strip_prefix('"')?.strip_suffix('"')?;
        let is_hash = hash.len() >= 7 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then_some((hash, subject))
    });
    let Some((hash, subject)) = named else { return Some("no commit with its subject".to_owned()) };
    let found = history?.range(hash.to_owned()..).next().filter(|(full, _)| full.starts_with(hash));
    match found {
        None => Some(format!("{hash} is no ancestor of this tree")),
        Some((_, is)) if is != subject => Some(format!("{hash} is \"{is}\"")),
        Some(_) => None,
    }
}

#[test]
fn every_bug_that_was_found_was_fixed_by_a_commit_of_this_history() {
    let history = history();
    if let Err(why) = &history {
        // Past what the test harness keeps to itself.
        writeln!(
            std::io::stderr(),
            "\n!!!!!!!!\n{PAGE}: commits SKIPPED, they were NOT LOOKED FOR: {why}\n!!!!!!!!"
        )
        .expect("stderr");
    }
    let history = history.ok();
    let rows = rows();
    let wrong = rows.iter().filter_map(|row| Some(row.lacks(&wrong_commit(row, history.as_ref())?)));
    assert_none(PAGE, &wrong.collect::<Vec<_>>());
}
