//! `scripts/cluster`, which runs a cluster of real nodes to break by hand, and when `scripts/upgrade` tries nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::cluster::{Turn, settings_of};

/// The script with a place of its own; ends its nodes when dropped.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let script = Self { folder };
        std::fs::create_dir(script.config()).expect("a folder");
        for (number, settings) in settings_of("three-node").iter().enumerate() {
            let file = script.config().join(format!("node-{}.yml", number + 1));
            std::fs::write(file, settings).expect("settings");
        }
        script
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }

    fn nodes(&self) -> PathBuf {
        self.folder.path().join("nodes")
    }

    /// Runs it; returns whether it succeeded and what it printed, or what went wrong.
    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/cluster"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CIRCLET_"))
        {
            command.env_remove(name);
        }
        let output = command
            .args(arguments)
            .env("CIRCLET_BIN", env!("CARGO_BIN_EXE_circlet"))
            .env("CIRCLET_CLUSTER_CONFIG", self.config())
            .env("CIRCLET_CLUSTER_DIR", self.nodes())
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let done = output.status.success();
        let said = if done { output.stdout } else { output.stderr };
        (done, String::from_utf8(said).expect("UTF-8"))
    }

    #[track_caller]
    fn does(&self, arguments: &[&str]) -> String {
        let (done, said) = self.run(arguments);
        assert!(done, "scripts/cluster {}: {said}", arguments.join(" "));
        said
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], why: &str) {
        let (done, said) = self.run(arguments);
        assert!(!done && said.contains(why), "scripts/cluster {}: {said}", arguments.join(" "));
    }

    /// What each node does, in the words of `status`.
    #[track_caller]
    fn assert_nodes(&self, expected: [&str; 3]) {
        let said = self.does(&["status"]);
        for (number, state) in (1..).zip(expected) {
            let line =
                said.lines().find(|line| line.starts_with(&format!("node {number} "))).unwrap_or_default();
            assert!(line.ends_with(state), "node {number} is {state}: {said}");
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // Ends what still runs; a test that failed has said why.
        self.run(&["wipe"]);
    }
}

/// The process of a node, as the script remembers it.
fn pid(script: &Script, number: usize) -> String {
    std::fs::read_to_string(script.nodes().join(format!("node-{number}/serve.pid"))).expect("a process id")
}

#[tokio::test]
async fn a_cluster_is_brought_up_broken_mended_taken_down_and_wiped() {
    let _turn = Turn::wait().await;
    let script = Script::new();
    script.assert_nodes(["not running"; 3]);
    let up = script.does(&["up"]);
    assert!(up.contains("administrator admin, password "), "{up}");
    script.assert_nodes(["running"; 3]);
    let pids: Vec<String> = (1..=3).map(|number| pid(&script, number)).collect();
    assert_eq!(script.does(&["up"]), up, "up again changes nothing");

    script.does(&["pause", "2"]);
    script.does(&["kill", "3"]);
    script.assert_nodes(["running", "paused", "not running"]);
    script.refuses(&["pause", "3"], "node 3 does not run");
    script.refuses(&["kill", "4"], "there is no node 4");
    script.refuses(&["kill"], "which node?");
    script.does(&["resume", "2"]);
    script.does(&["restart", "3"]);
    script.assert_nodes(["running"; 3]);
    assert_eq!([pid(&script, 1), pid(&script, 2)], [pids[0].clone(), pids[1].clone()], "these went on");
    assert_ne!(pid(&script, 3), pids[2]);

    script.does(&["down"]);
    script.assert_nodes(["not running"; 3]);
    let password = |said: &str| said.lines().last().unwrap_or_default().to_owned();
    assert_eq!(password(&script.does(&["up"])), password(&up), "its data is kept");
    script.does(&["pause", "1"]);
    script.does(&["wipe"]);
    script.assert_nodes(["not running"; 3]);
    assert!(!script.nodes().exists(), "its data is gone");
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
    let output = command.args(arguments).output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// How `scripts/upgrade --may-skip` ends in a folder that has nothing else, and what it says.
fn upgrade(folder: &Path) -> (Option<i32>, String) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["scripts/upgrade", "tests/upgrade/previous"] {
        std::fs::create_dir_all(folder.join(file).parent().expect("a folder")).expect("a folder");
        std::fs::copy(own.join(file), folder.join(file)).expect("copied");
    }
    let mut command = Command::new(folder.join("scripts/upgrade"));
    let output = command.arg("--may-skip").output().expect("bash runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_upgrade_goes_untried_only_where_the_clone_is_shallow_and_loudly() {
    let place = tempfile::tempdir().expect("a folder");
    let (whole, shallow) = (place.path().join("whole"), place.path().join("shallow"));
    std::fs::create_dir(&whole).expect("a folder");
    assert_eq!(upgrade(&whole).0, Some(2), "it is no clone");
    git(&whole, &["init", "--quiet"]);
    for message in ["one", "two"] {
        git(&whole, &["commit", "--quiet", "--allow-empty", "--message", message]);
    }
    let (status, said) = upgrade(&whole);
    assert_eq!(status, Some(2), "the whole history has no such commit: {said}");
    let from = format!("file://{}", whole.display());
    git(place.path(), &["clone", "--quiet", "--depth", "1", &from, "shallow"]);
    let (status, said) = upgrade(&shallow);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("NOTHING WAS TRIED"), "{said}");
}
