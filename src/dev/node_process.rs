//! The processes of a development cluster.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::place::NodePlace;
use crate::cli::failure::Failure;
use crate::cli::output::Output;

/// A node that has not ended this long after it was asked to is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of a node's log is shown when it can't start.
const LOG_LINES_SHOWN: usize = 12;
/// How often the processes are looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(200);

/// One node that was started, running or not.
pub(super) struct NodeProcess {
    /// Where it lives.
    pub(super) place: NodePlace,
    /// Its process id.
    pub(super) pid: u32,
    log: PathBuf,
    child: Child,
    ended: Option<ExitStatus>,
}

impl NodeProcess {
    /// Starts a node. It is in a process group of its own, so that a Ctrl-C in the terminal reaches this process alone and
    /// the nodes are stopped in order; and it dies with this process, however that ends.
    pub(super) fn start(place: &NodePlace) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::ours(format!("node {} could not be started", place.number)).because(error)
        };
        let log = place.home.join("logs").join("serve.log");
        std::fs::create_dir_all(place.home.join("logs")).map_err(failed)?;
        let file = File::options().create(true).append(true).open(&log).map_err(failed)?;
        let child = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["serve", "--home"])
            .arg(&place.home)
            .args(["--dies-with", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().ok_or_else(|| Failure::ours(format!("node {} ended at once", place.number)))?;
        Ok(Self { place: place.clone(), pid, log, child, ended: None })
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// A failure that shows the end of the node's log.
    pub(super) fn failure(&self, what: &str) -> Failure {
        let tail = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = tail.lines().collect();
        let shown = lines.len().saturating_sub(LOG_LINES_SHOWN);
        let tail: String =
            lines.into_iter().skip(shown).fold(String::new(), |text, line| text + "\n  " + line);
        Failure::ours(format!("node {} {what}{tail}", self.place.number))
            .hint(format!("its whole log is {}, as long as that folder is kept (--home)", self.log.display()))
    }

    fn signal(&self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        // It may have ended meanwhile, which is what is wanted.
        let _ = kill_process(pid, signal);
    }
}

/// Says when a node dies. Never returns: the others go on.
pub(super) async fn watch(nodes: &mut [NodeProcess], output: Output) {
    loop {
        for node in nodes.iter_mut().filter(|node| node.ended.is_none()) {
            if let Some(status) = node.ended() {
                let (number, pid) = (node.place.number, node.pid);
                output.say(&format!("node {number} (pid {pid}) is gone: {status}; the others go on"));
            }
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

/// Asks all nodes to end, wakes those that were paused, and kills those that don't end in time.
pub(super) async fn stop_all(nodes: &mut [NodeProcess]) {
    for node in nodes.iter_mut().filter_map(|node| node.ended().is_none().then_some(node)) {
        node.signal(Signal::TERM);
        node.signal(Signal::CONT);
    }
    let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
    for node in nodes {
        if node.ended.is_none() && tokio::time::timeout_at(deadline, node.child.wait()).await.is_err() {
            // It can only fail because the process has ended.
            let _ = node.child.kill().await;
        }
    }
}

/// Runs a command of this program in a home to its end, and returns the JSON that it printed.
pub(super) async fn run_to_end(arguments: &[&str], home: &Path) -> Result<Value, Failure> {
    // What follows may be secret.
    let what = arguments.first().copied().unwrap_or_default();
    let failed = |error| Failure::ours(format!("circlet {what} could not be run")).because(error);
    let output = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["--output", "json"])
        .args(arguments)
        .arg("--home")
        .arg(home)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(failed)?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::ours(format!("circlet {what} printed no JSON")).because(error));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().fold(String::new(), |text, line| text + "\n  " + line);
    Err(Failure::ours(format!("circlet {what} failed: {}{said}", output.status)))
}
