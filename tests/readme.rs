//! What the README tells a stranger to do works: its tested blocks run against a cluster that `circlet dev` started.

#[path = "support/ports.rs"]
mod ports;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a cluster may take to be ready, and a block to run, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);

/// A cluster of three that ends with its test.
struct Cluster {
    dev: Child,
    place: tempfile::TempDir,
    ready: serde_json::Value,
}

impl Cluster {
    fn start() -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let ready_file = place.path().join("ready.json");
        let mut circlet = Command::new(env!("CARGO_BIN_EXE_circlet"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CIRCLET_"))
        {
            circlet.env_remove(name);
        }
        let dev = circlet
            .args(["dev", "--base-port", &ports::consecutive_ports(6).to_string(), "--ready-file"])
            .arg(&ready_file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("circlet starts");
        let mut cluster = Self { dev, place, ready: serde_json::Value::Null };
        let deadline = Instant::now() + DEADLINE;
        while !ready_file.exists() {
            assert!(Instant::now() < deadline, "the cluster was not ready in time");
            assert!(cluster.dev.try_wait().expect("a child").is_none(), "circlet dev ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = std::fs::read_to_string(&ready_file).expect("the ready file");
        cluster.ready = serde_json::from_str(&text).expect("the ready file is JSON");
        cluster
    }

    fn url(&self, node: usize) -> String {
        self.ready["nodes"][node]["url"].as_str().expect("a node's url").to_owned()
    }

    /// Runs lines of shell in the cluster's folder; returns what they print.
    fn run(&self, script: &str) -> String {
        let admin = self.ready["admin"]["access_token"].as_str().expect("the administrator's token");
        let output = Command::new("timeout")
            .args([&DEADLINE.as_secs().to_string(), "bash", "-eu", "-c", script])
            .current_dir(self.place.path())
            // curl shall ask the nodes, and no proxy of whoever runs the tests.
            .env("no_proxy", "*")
            .env("ADMIN", admin)
            .env("NODE1", self.url(0))
            .env("NODE2", self.url(1))
            .env("NODE3", self.url(2))
            .output()
            .expect("bash runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\nprinted {said}\nand {errors}");
        said
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.dev.id().to_string()]).status();
        let _ = self.dev.wait();
    }
}

fn readme() -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("README.md")
}

/// The fenced blocks of the README whose opening line ends with `kind`.
fn blocks(kind: &str) -> Vec<String> {
    let opening = format!("```{kind}\n");
    let text = readme();
    text.split(opening.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().expect("split yields one part at least").to_owned())
        .collect()
}

#[test]
fn the_life_of_a_token_goes_as_the_readme_says() {
    let blocks = blocks("sh tested");
    assert_eq!(blocks.len(), 3, "create, refresh and revoke");
    let cluster = Cluster::start();
    let script = blocks.join("\n");
    // On a busy machine a node may say "not now", which who reads along answers by asking again.
    let tries = (0..3).map(|_| cluster.run(&script));
    let mut said = tries.skip_while(|said| !said.contains("Invalid token, revoked"));
    let said = said.next().expect("the lines work within three tries");
    assert!(said.contains(r#""user":"ci-job""#), "the token verifies: {said}");
    assert!(said.contains(r#""revocable":true"#), "and is revocable: {said}");
    assert!(said.contains("the same bytes"), "the refresh repeats itself: {said}");
    assert!(said.contains("Token revoked"), "the revoke is acknowledged: {said}");
    assert!(said.contains("Invalid token, revoked"), "and the token refused: {said}");
}

#[test]
fn the_readme_names_the_two_commands() {
    let first = blocks("sh").into_iter().next().expect("a block of shell");
    let commands: Vec<&str> =
        first.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(commands, ["cargo run --release -- dev", "cargo test --workspace"]);
}
