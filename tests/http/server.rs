//! A node of a cluster of one, as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use crate::ports::free_port;

/// The first administrator's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running node; killed when dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) service_id: String,
    home: TempDir,
    process: Child,
}

impl Server {
    /// Makes a home, starts a node on it, and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::start_after(|_home| ())
    }

    /// The same; `prepare` is shown the home before the node starts on it.
    pub(crate) fn start_after(prepare: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        let password = home.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let root = home.path().join("home");
        let init = circlet()
            .args(["--output", "json", "init", "--home"])
            .arg(&root)
            .arg("--admin-password-file")
            .arg(&password)
            .args(["--http-listen", &free_address(), "--peer-listen", &free_address()])
            .output()
            .unwrap();
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        prepare(&root);
        Self::serve(home)
    }

    /// Starts a further node of the cluster that made this join token.
    pub(crate) fn join(token: &str, name: &str) -> Self {
        Self::serve(Self::admitted(token, name))
    }

    /// The home of a further node, which has not come yet.
    pub(crate) fn admitted(token: &str, name: &str) -> TempDir {
        let home = tempfile::tempdir().unwrap();
        let joined = circlet()
            .args(["join", "--name", name, "--token", token, "--home"])
            .arg(home.path().join("home"))
            .args(["--http-listen", &free_address(), "--peer-listen", &free_address()])
            .output()
            .unwrap();
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        home
    }

    /// Starts a node with these lines in its settings.
    pub(crate) fn start_with(settings: &str) -> Self {
        use std::io::Write as _;
        Self::start_after(|home| {
            let mut file = std::fs::File::options().append(true).open(home.join("etc/node.yml")).unwrap();
            file.write_all(settings.as_bytes()).unwrap();
        })
    }

    /// A node on the home that somebody has made below `home`.
    pub(crate) fn serve(home: TempDir) -> Self {
        let root = home.path().join("home");
        let ready = home.path().join("ready");
        let log = std::fs::File::create(home.path().join("log")).unwrap();
        let mut process = circlet()
            .args(["serve", "--home"])
            .arg(&root)
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let content = wait_for(&ready, &mut process, &home.path().join("log"));
        let content: serde_json::Value = serde_json::from_str(&content).unwrap();
        let text = |key: &str| content[key].as_str().unwrap().to_owned();
        Self { url: text("url"), service_id: text("service_id"), home, process }
    }

    /// Ends it, and starts a node on its home, to which something is done before.
    pub(crate) fn again(mut self, change: impl FnOnce(&Path)) -> Self {
        let home = std::mem::replace(&mut self.home, tempfile::tempdir().unwrap());
        drop(self);
        std::fs::remove_file(home.path().join("ready")).unwrap();
        change(&home.path().join("home"));
        Self::serve(home)
    }

    /// Stops the process where it is, or lets it go on. Returns when none of its threads runs any more, or all may.
    pub(crate) fn pause(&self, paused: bool) {
        let pid = Pid::from_child(&self.process);
        let (signal, awaited) = if paused {
            (Signal::STOP, WaitIdOptions::STOPPED)
        } else {
            (Signal::CONT, WaitIdOptions::CONTINUED)
        };
        kill_process(pid, signal).unwrap();
        waitid(WaitId::Pid(pid), awaited).unwrap();
    }

    /// What the process has resident, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that it ever had.
    pub(crate) fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Its home.
    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().join("home")
    }

    /// kill -9; the home stays.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// The audit log so far.
    pub(crate) fn audit_log(&self) -> String {
        std::fs::read_to_string(self.audit_path()).unwrap()
    }

    /// Where the audit log is.
    pub(crate) fn audit_path(&self) -> PathBuf {
        self.home.path().join("home/logs/access-security-audit.log")
    }

    /// The certificate of the token key, in PEM.
    pub(crate) fn root_certificate(&self) -> String {
        std::fs::read_to_string(self.home.path().join("home/etc/keys/root.crt")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; the test has said so then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command, without the settings of whoever runs the tests.
pub(crate) fn circlet() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_circlet"));
    // Without the settings of whoever runs the tests.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CIRCLET_") {
            command.env_remove(name);
        }
    }
    command
}

pub(crate) fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

fn wait_for(ready: &Path, process: &mut Child, log: &Path) -> String {
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        if let Ok(content) = std::fs::read_to_string(ready)
            && !content.is_empty()
        {
            return content;
        }
        let ended = process.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "the node is not ready ({ended:?}): {}",
            std::fs::read_to_string(log).unwrap_or_default()
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
