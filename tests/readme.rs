//! What README.md tells a stranger to do works, and what docs/operations.md tells an operator: the tested blocks run
//! against clusters that `circlet dev` started.

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
            .env("HOME1", self.ready["nodes"][0]["home"].as_str().expect("a node's home"))
            .env("NEW_HTTP", format!("127.0.0.1:{}", ports::free_port()))
            .env("NEW_PEER", format!("127.0.0.1:{}", ports::free_port()))
            .env("PATH", path_with_circlet())
            .env("CIRCLET_URL", self.url(0))
            .env("CIRCLET_ACCESS_TOKEN", admin)
            .env("XDG_CONFIG_HOME", self.place.path())
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

/// Where the lines find the program under test.
fn path_with_circlet() -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_circlet")).parent().expect("a folder").display().to_string();
    format!("{binaries}:{}", std::env::var("PATH").unwrap_or_default())
}

/// The fenced blocks of a document whose opening line ends with `kind`.
fn blocks(document: &str, kind: &str) -> Vec<String> {
    let opening = format!("```{kind}\n");
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).expect("a document");
    text.split(opening.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().expect("split yields one part at least").to_owned())
        .collect()
}

#[test]
fn the_life_of_a_token_goes_as_the_readme_says() {
    let blocks = blocks("README.md", "sh tested");
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
    let first = blocks("README.md", "sh").into_iter().next().expect("a block of shell");
    let commands: Vec<&str> =
        first.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).collect();
    assert_eq!(commands, ["cargo run --release -- dev", "cargo test --workspace"]);
}

/// Who is told "not now" asks again; a doctor is asked again whether the disk is still slow, and until it knows of the node
/// that has just joined; a node that was started ends with the lines.
const PATIENT: &str = r#"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
circlet() {
  local status=0 try said
  if [ "$1" = serve ]; then exec circlet "$@"; fi
  for try in $(seq 60); do
    status=0
    if [ "$1" = doctor ]; then
      said=$(command circlet "$@") || status=$?
      if [ $status -eq 0 ] && [[ $said == *node-4* ]]; then break; fi
    else
      command circlet "$@" || status=$?
      if [ $status -ne 2 ]; then break; fi
    fi
    sleep 1
  done
  if [ "$1" = doctor ]; then printf '%s\n' "$said"; fi
  return $status
}
"#;

/// Stands between what two blocks print.
const NEXT_BLOCK: &str = "== the next block";

/// The blocks of shell in the operator's guide, each with the lines that are shown below it as its output.
fn steps() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = std::fs::read_to_string(path).expect("a document");
    let steps = text.split("```sh tested\n").skip(1).map(|rest| {
        let (block, after) = rest.split_once("```\n").expect("a block has an end");
        let after = after.trim_start();
        let output = ["```text\n", "```json\n"].iter().find_map(|opening| after.strip_prefix(opening));
        let shown = output.map(|output| output.split("```").next().expect("split yields one part at least"));
        (block.to_owned(), shown.unwrap_or_default().lines().map(str::to_owned).collect())
    });
    steps.collect()
}

/// A line without what differs from run to run: numbers, ids, times, and how wide the columns are.
fn lasting(line: &str) -> String {
    let spaced: String = line.chars().map(|c| if "\"{}[],:@/=".contains(c) { ' ' } else { c }).collect();
    let lasts = |word: &&str| {
        let drawn = word.len() > 15 && word.chars().any(|c| c.is_ascii_digit());
        !drawn && !word.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    spaced.split_whitespace().filter(lasts).collect::<Vec<_>>().join(" ")
}

/// Every line that is shown was printed, whatever else was.
fn assert_shown_was_said(block: &str, shown: &[String], said: &str) {
    let mut left: Vec<String> = said.lines().map(lasting).collect();
    for line in shown.iter().filter(|line| !line.is_empty()) {
        let at = left.iter().position(|said| *said == lasting(line)).unwrap_or(left.len());
        assert!(at < left.len(), "below\n{block}\nis shown\n{line}\nand was said\n{said}");
        left.remove(at);
    }
}

#[test]
fn the_operators_guide_can_be_followed_from_its_first_line_to_its_last_and_shows_what_is_said() {
    let steps = steps();
    assert_eq!(steps.len(), 14, "each section has its lines");
    let cluster = Cluster::start();
    let blocks: Vec<&str> = steps.iter().map(|(block, _)| block.as_str()).collect();
    let said =
        cluster.run(&format!("{PATIENT}\n{}", blocks.join(&format!("printf '\\n%s\\n' '{NEXT_BLOCK}'\n"))));
    if let Some(file) = std::env::var_os("GUIDE_SAYS") {
        std::fs::write(file, &said).expect("what was said is written down");
    }
    let parts: Vec<&str> = said.split(&format!("{NEXT_BLOCK}\n")).collect();
    assert_eq!(parts.len(), steps.len());
    assert!(steps.iter().all(|(_, shown)| !shown.is_empty()), "and shows what is said");
    for ((block, shown), said) in steps.iter().zip(&parts) {
        assert_shown_was_said(block, shown, said);
    }
    for part in [
        "voter",
        "of 4 voting nodes",
        "lives here",
        r#""serves":{"everything":"#,
        "circlet_raft_leads",
        "handed the leadership to node-2",
        "removed node node-4",
        "token.max-expiry",
        "retiring",
        "took the place of",
        "would revoke",
        "may live on beside it",
        "LONGEST GAP",
    ] {
        assert!(said.contains(part), "`{part}` is missing: {said}");
    }
}
