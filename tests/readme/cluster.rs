//! A cluster that `circlet dev` started, and a shell beside it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::ports;

/// How long a cluster may take to be ready, and a script to run, on a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);

/// A cluster that ends with its test, with all nodes that came to it.
pub(super) struct Cluster {
    dev: Child,
    place: tempfile::TempDir,
    base_port: u16,
    ready: serde_json::Value,
}

impl Cluster {
    pub(super) fn start(nodes: u16) -> Self {
        let place = tempfile::tempdir().expect("a temporary folder");
        let ready_file = place.path().join("ready.json");
        let base_port = ports::consecutive_ports(2 * nodes);
        let log = place.path().join("dev.log");
        let mut circlet = Command::new(env!("CARGO_BIN_EXE_circlet"));
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CIRCLET_"))
        {
            circlet.env_remove(name);
        }
        let dev = circlet
            .args(["dev", "--nodes", &nodes.to_string(), "--base-port", &base_port.to_string()])
            .arg("--home")
            .arg(place.path().join("nodes"))
            .arg("--ready-file")
            .arg(&ready_file)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a folder of our own"))
            .spawn()
            .expect("circlet starts");
        let mut cluster = Self { dev, place, base_port, ready: serde_json::Value::Null };
        let deadline = Instant::now() + DEADLINE;
        while !ready_file.exists() {
            assert!(Instant::now() < deadline, "the cluster was not ready in time");
            let ended = cluster.dev.try_wait().expect("a child");
            let said = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(ended.is_none(), "circlet dev ended: {}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        let text = std::fs::read_to_string(&ready_file).expect("the ready file");
        cluster.ready = serde_json::from_str(&text).expect("the ready file is JSON");
        cluster.remember_processes();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::os::unix::fs::symlink(root.join("scripts"), cluster.place.path().join("scripts"))
            .expect("a folder of our own");
        cluster
    }

    /// For who goes to the machine of a node, as `tests/readme/machines/ssh` does.
    fn remember_processes(&self) {
        for node in self.nodes() {
            let home = node["home"].as_str().expect("a node's home");
            std::fs::write(format!("{home}.pid"), node["pid"].to_string()).expect("a folder of our own");
            std::os::unix::fs::symlink(Path::new(home).join("logs/serve.log"), format!("{home}.log"))
                .expect("a folder of our own");
        }
    }

    fn nodes(&self) -> &[serde_json::Value] {
        self.ready["nodes"].as_array().expect("nodes")
    }

    /// Runs lines of shell in the cluster's folder; returns what they print.
    pub(super) fn run(&self, script: &str) -> String {
        let admin = |what: &str| self.ready["admin"][what].as_str().expect("the administrator").to_owned();
        let mut bash = Command::new("timeout");
        bash.args([&DEADLINE.as_secs().to_string(), "bash", "-eu", "-c", script])
            .current_dir(self.place.path())
            // curl shall ask the nodes, and no proxy of whoever runs the tests.
            .env("no_proxy", "*")
            .env("PATH", path_with_circlet())
            .env("OWNER", std::process::id().to_string())
            .env("ADMIN", admin("access_token"))
            .env("CIRCLET_ACCESS_TOKEN", admin("access_token"))
            .env("CIRCLET_PASSWORD", admin("password"))
            .env("XDG_CONFIG_HOME", self.place.path())
            // Each further node has a loopback address of its own, and the same ports.
            .env("HTTP", self.base_port.to_string())
            .env("PEER", (self.base_port + 1).to_string());
        for (number, node) in (1..).zip(self.nodes()) {
            let url = node["url"].as_str().expect("a node's url");
            bash.env(format!("NODE{number}"), url);
            if number == 1 {
                bash.env("CIRCLET_URL", url);
            }
        }
        let output = bash.output().expect("bash runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}\nprinted {said}\nand {errors}");
        said
    }

    /// Ends the nodes that others than `circlet dev` have started.
    fn end_nodes(&self) {
        let entries = std::fs::read_dir(self.place.path().join("nodes")).into_iter().flatten().flatten();
        for path in
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "pid"))
        {
            let name = path.file_stem().expect("a node's name");
            let order = ["systemctl", "kill", "-s", "KILL", "circlet"];
            let _ = Command::new(machines().join("ssh"))
                .arg(name)
                .args(order)
                .current_dir(self.place.path())
                .status();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.dev.id().to_string()]).status();
        let _ = self.dev.wait();
        self.end_nodes();
    }
}

/// Where the stand-in for `ssh` is.
fn machines() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readme/machines")
}

/// Where the lines find the program under test, and the machines of the nodes.
fn path_with_circlet() -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_circlet")).parent().expect("a folder").display().to_string();
    format!("{binaries}:{}:{}", machines().display(), std::env::var("PATH").unwrap_or_default())
}
