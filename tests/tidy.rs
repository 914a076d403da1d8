//! The rules of the house that neither the compiler nor clippy checks: which crate may know which, what the pure
//! crates must not name, how long a file may be, what must not be left behind.

#[path = "tidy/bugs.rs"]
mod bugs;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines that a Rust file may have; a longer one is more than one thing.
const FILE_LINES_MAX: usize = 500;

/// Which of our crates may depend on which of ours. Cargo enforces the absence of an edge by the absence of the
/// dependency; this table keeps anyone from adding one unnoticed.
const HOUSE: &[(&str, &[&str])] = &[
    ("circlet-token", &[]),
    ("circlet-authority", &["circlet-token"]),
    ("circlet-raft", &[]),
    ("circlet", &["circlet-authority", "circlet-raft", "circlet-token"]),
    ("circlet-sim", &["circlet-authority", "circlet-raft", "circlet-token"]),
    ("circlet-torture", &["circlet-authority", "circlet-sim", "circlet-token"]),
    ("circlet-bench", &["circlet-token"]),
];

/// Crates that are pure: no clock, file, socket, environment, thread or randomness can enter them.
const PURE: &[&str] = &["token", "authority"];

/// What a pure crate must not depend on, because it brings a clock, a socket or randomness within reach.
const IMPURE_DEPENDENCIES: &[&str] = &[
    "tokio",
    "rand",
    "getrandom",
    "mio",
    "socket2",
    "hyper",
    "axum",
    "reqwest",
    "sled",
    "openraft",
    "notify",
    "uuid",
];

/// What the sources of a pure crate must not name.
const IMPURE_NAMES: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "SystemRandom",
    "HashMap",
    "HashSet",
];

/// Where a pure crate may name one of them all the same, and why that keeps it pure.
const IMPURE_NAMES_ALLOWED: &[(&str, &str, &str)] = &[(
    "token/src/signing_key.rs",
    "SystemRandom",
    "the RSA signer's interface demands one; PKCS#1 v1.5 signatures draw nothing from it",
)];

fn allowed_to_name(file: &str, name: &str) -> bool {
    IMPURE_NAMES_ALLOWED.iter().any(|(f, n, _why)| *f == file && *n == name)
}

/// What must not be left behind in a source file.
fn left_behind() -> Vec<String> {
    // Spelled apart, so that this file does not find itself.
    [
        ("todo", "!("),
        ("unimplemented", "!("),
        ("#[igno", "re"),
        ("#[should_", "panic"),
        ("FIX", "ME"),
        ("XX", "X "),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `dir` whose name ends with `ending`, without build products and hidden directories.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.map(|entry| entry.expect("a readable directory entry")) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                open.push(path);
            } else if path.is_file() && name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    let text = std::fs::read_to_string(path);
    assert!(text.is_ok(), "{}: {text:?}", path.display());
    text.expect("just checked")
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The packages of the workspace, by name: what `cargo metadata` says of each.
fn packages() -> BTreeMap<String, serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages").clone();
    packages.into_iter().map(|p| (p["name"].as_str().expect("a name").to_owned(), p)).collect()
}

/// Names of the dependencies of one package that are built into it (not those of its tests).
fn dependencies(package: &serde_json::Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("a list of dependencies");
    all.iter()
        .filter(|d| d["kind"].as_str() != Some("dev"))
        .map(|d| d["name"].as_str().expect("a name").to_owned())
        .collect()
}

fn assert_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn crates_depend_on_each_other_only_as_the_house_is_built() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    for (name, package) in &packages {
        let allowed = HOUSE.iter().find(|(n, _)| n == name).map(|(_, allowed)| *allowed);
        let allowed = allowed.unwrap_or_else(|| panic!("{name} has no row in the table of the house"));
        let used: Vec<String> =
            dependencies(package).into_iter().filter(|d| ours.contains(d.as_str())).collect();
        let strangers: Vec<String> = used.into_iter().filter(|d| !allowed.contains(&d.as_str())).collect();
        assert_none(&format!("{name} may depend on {allowed:?} only"), &strangers);
    }
}

/// A request goes from the HTTP edge inwards and never back: what is behind the edge doesn't know it. The list of all
/// parsers names those of the edge as well.
#[test]
fn only_the_node_names_the_http_edge() {
    let src = root().join("src");
    let outside = files(&src, ".rs").into_iter().filter(|file| {
        let file = file.strip_prefix(&src).expect("a file of src");
        let may = ["http.rs", "node.rs", "outside.rs"].map(Path::new);
        !file.starts_with("http") && !may.contains(&file)
    });
    let names_it = outside.filter(|file| read(file).contains("crate::http"));
    assert_none("the way back to the edge is closed", &names_it.map(|file| shown(&file)).collect::<Vec<_>>());
}

#[test]
fn every_crate_inherits_the_lints() {
    let without: Vec<String> = packages()
        .values()
        .map(|p| PathBuf::from(p["manifest_path"].as_str().expect("a path")))
        .filter(|manifest| !read(manifest).contains("[lints]\nworkspace = true"))
        .map(|manifest| shown(&manifest))
        .collect();
    assert_none("`[lints] workspace = true` is missing", &without);
}

#[test]
fn pure_crates_cannot_name_a_clock_a_file_a_socket_or_randomness() {
    let packages = packages();
    let mut findings = Vec::new();
    for pure in PURE {
        let used = dependencies(&packages[&format!("circlet-{pure}")]);
        findings.extend(
            IMPURE_DEPENDENCIES
                .iter()
                .filter(|d| used.contains(**d))
                .map(|d| format!("{pure} depends on {d}")),
        );
        for file in files(&root().join(pure).join("src"), ".rs") {
            let text = read(&file);
            let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
            for (number, line) in code {
                findings.extend(
                    IMPURE_NAMES
                        .iter()
                        .filter(|name| line.contains(**name) && !allowed_to_name(&shown(&file), name))
                        .map(|name| format!("{}:{} names {name}", shown(&file), number + 1)),
                );
            }
        }
        let bans = read(&root().join(pure).join("clippy.toml"));
        assert!(bans.contains("std::time::SystemTime::now"), "{pure}/clippy.toml bans no clock");
    }
    assert_none("a pure crate reaches outside", &findings);
}

#[test]
fn files_are_short_and_named_after_what_they_hold() {
    let mut findings = Vec::new();
    for file in files(&root(), ".rs") {
        let lines = read(&file).lines().count();
        if lines > FILE_LINES_MAX {
            findings
                .push(format!("{} has {lines} lines, at most {FILE_LINES_MAX} are allowed", shown(&file)));
        }
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            findings.push(format!("{}: a module is `name.rs` beside `name/`", shown(&file)));
        }
    }
    assert_none("the shape of files", &findings);
}

#[test]
fn nothing_half_done_is_left_behind() {
    let marks = left_behind();
    let mut findings = Vec::new();
    for file in files(&root(), ".rs") {
        for (number, line) in read(&file).lines().enumerate() {
            findings.extend(
                marks
                    .iter()
                    .filter(|mark| line.contains(mark.as_str()))
                    .map(|mark| format!("{}:{} has `{mark}`", shown(&file), number + 1)),
            );
        }
    }
    assert_none("left behind", &findings);
}

#[test]
fn files_start_with_what_they_are_for() {
    let without: Vec<String> = files(&root(), ".rs")
        .into_iter()
        .filter(|file| !read(file).starts_with("//!"))
        .map(|file| shown(&file))
        .collect();
    assert_none("a file starts with its module doc", &without);
}

#[test]
fn what_clippy_is_told_to_allow_has_its_reason() {
    let mut findings = Vec::new();
    for file in files(&root(), ".rs") {
        let text = read(&file);
        for (number, line) in text.lines().enumerate() {
            let opens = ["#[allow(", "#![allow(", "#[expect(", "#![expect("].iter().any(|a| line.contains(a));
            let statement = text.lines().skip(number).take(8).collect::<Vec<_>>().join(" ");
            if opens && !line.contains('"') && !statement.contains("reason") {
                findings.push(format!("{}:{}", shown(&file), number + 1));
            }
        }
    }
    assert_none("an allowance without a reason", &findings);
}

#[test]
fn the_project_speaks_of_itself_alone() {
    // Spelled apart, so that this file does not find itself.
    let banned = [format!("/{}/", "work"), format!("{}.crates.io", "index"), format!("/{}/", "root/.cargo")];
    let mut findings = Vec::new();
    for ending in [".rs", ".md", ".toml", ".yml", ".sh", ".lock"] {
        for file in files(&root(), ending) {
            let text = read(&file);
            findings.extend(
                banned
                    .iter()
                    .filter(|b| text.contains(b.as_str()))
                    .map(|b| format!("{} names {b}", shown(&file))),
            );
        }
    }
    assert_none("a path of one machine, or a registry's host", &findings);
}
