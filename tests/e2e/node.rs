//! One node: a process and its home.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

/// One node, running or not. Killed when dropped.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) home: PathBuf,
    pub(crate) url: String,
    /// What the program is told besides.
    pub(crate) environment: Environment,
    process: Option<Child>,
}

/// Variables for the program.
pub(crate) type Environment = Vec<(&'static str, String)>;

impl Node {
    /// A home with these settings.
    pub(crate) fn prepare(home: &Path, settings: &str, more: &str) -> Self {
        std::fs::create_dir_all(home.join("etc")).expect("a home");
        std::fs::create_dir_all(home.join("logs")).expect("a home");
        std::fs::write(home.join("etc/node.yml"), format!("{settings}{more}")).expect("settings");
        let after = |text: &str, key: &str| {
            let (_, rest) = text.split_once(key).unwrap_or_else(|| panic!("{key} in {text}"));
            rest.lines().next().unwrap_or_default().trim().to_owned()
        };
        let (_, http) = settings.split_once("http:").expect("an http section");
        Self {
            name: after(settings, "name:"),
            home: home.to_owned(),
            url: format!("http://{}", after(http, "listen:")),
            environment: Environment::new(),
            process: None,
        }
    }

    /// Starts the process.
    pub(crate) fn start(&mut self) {
        self.run(program());
    }

    /// Starts it where no file can grow beyond so many bytes: writing more fails, as it does on a full disk.
    pub(crate) fn start_with_files_up_to(&mut self, bytes: u64) {
        let mut limited = Command::new("bash");
        let script = "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"";
        limited.args([
            "-c",
            script,
            "bash",
            &bytes.div_ceil(1024).to_string(),
            env!("CARGO_BIN_EXE_circlet"),
        ]);
        self.run(limited);
    }

    /// How it ended, if it has by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.try_wait().expect("our child")
    }

    /// All that it said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.home.join("logs/serve.log")).unwrap_or_default()
    }

    fn run(&mut self, mut program: Command) {
        self.kill();
        let log = File::options().create(true).append(true).open(self.home.join("logs/serve.log"));
        let log = log.expect("a log file");
        let child = program
            .args(["serve", "--home"])
            .arg(&self.home)
            .envs(self.environment.clone())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn();
        self.process = Some(child.expect("the node's process"));
    }

    /// kill -9; nothing if it doesn't run.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            process.wait().expect("the end of a child");
        }
    }

    /// Asks it to stop, unless it has ended, and waits until it has.
    pub(crate) fn stop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::TERM);
        }
        if let Some(mut process) = self.process.take() {
            process.wait().expect("the end of a child");
        }
    }

    /// Asks it to stop, and doesn't wait.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Returns when none of its threads runs any more: on a busy machine that is some time after the signal.
    pub(crate) fn pause(&self) {
        let pid = self.signal(Signal::STOP);
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED).expect("our child stops");
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) -> Pid {
        let pid = self.process.as_ref().expect("a running node").id();
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal to our child");
        pid
    }

    /// The end of its log, for a failed test.
    fn log_tail(&self) -> String {
        let log = self.said();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} at {}:\n{}", self.name, self.url, self.log_tail());
        }
    }
}

/// The program, without the settings of whoever runs the tests.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_circlet"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CIRCLET_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of the program in a home.
pub(crate) async fn try_circlet(arguments: &[&str], home: &Path, environment: &Environment) -> Output {
    tokio::process::Command::from(program())
        .args(["--output", "json"])
        .args(arguments)
        .arg("--home")
        .arg(home)
        .envs(environment.clone())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program runs")
}

/// Runs a command of the program in a home and returns the JSON that it printed.
pub(crate) async fn circlet(arguments: &[&str], home: &Path) -> Value {
    circlet_with(arguments, home, &Environment::new()).await
}

/// The same with variables.
pub(crate) async fn circlet_with(arguments: &[&str], home: &Path, environment: &Environment) -> Value {
    let output = try_circlet(arguments, home, environment).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "circlet {}: {}\n{said}", arguments.join(" "), output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("circlet {arguments:?}: {error}"))
}
