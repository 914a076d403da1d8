//! Nodes that run on this machine, found by what they serve.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::Paths;
use crate::home::settings::NodeSettings;

/// A process, and when it began, so that another one with its number is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pid: Pid,
    begun: String,
}

impl Process {
    /// The node on this machine that clients reach at `url`, if there is one and this process may see it.
    pub(super) fn serving(url: &str) -> Option<Self> {
        let entries = std::fs::read_dir("/proc").ok()?;
        let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        pids.find_map(|raw| {
            let home = home_of(raw)?;
            let settings = NodeSettings::read(&Paths::new(&home)).ok()?;
            let process = Self::numbered(raw)?;
            (settings.http_advertise.trim_end_matches('/') == url && process.lives()).then_some(process)
        })
    }

    /// The process with this number.
    pub(super) fn numbered(raw: i32) -> Option<Self> {
        let (_, begun) = state(raw)?;
        Some(Self { pid: Pid::from_raw(raw)?, begun })
    }

    /// Its number.
    pub(super) fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it is still there; one that is dead and not yet buried is not.
    pub(super) fn lives(&self) -> bool {
        state(self.id()).is_some_and(|(state, begun)| begun == self.begun && !matches!(state, 'Z' | 'X'))
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), String> {
        kill_process(self.pid, signal).map_err(|error| format!("process {}: {error}", self.id()))
    }
}

/// The home of a process that is a node: from `serve --home DIR` (proc(5)).
fn home_of(raw: i32) -> Option<PathBuf> {
    let line = std::fs::read(format!("/proc/{raw}/cmdline")).ok()?;
    let words: Vec<&str> =
        line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let serve = words.iter().position(|word| *word == "serve")?;
    let flag = words.iter().skip(serve).position(|word| word.starts_with("--home"))? + serve;
    let home = match words.get(flag)?.split_once('=') {
        Some((_, home)) => home,
        None => words.get(flag + 1)?,
    };
    let folder = std::fs::read_link(format!("/proc/{raw}/cwd")).unwrap_or_default();
    Some(folder.join(Path::new(home)))
}

/// The state of a process and when it began, fields 3 and 22 of its `stat` (proc(5)).
fn state(raw: i32) -> Option<(char, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{raw}/stat")).ok()?;
    // The name, field 2, may hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use rustix::process::Signal;

    use super::Process;

    #[test]
    fn a_killed_process_lives_no_longer_though_nobody_buried_it() {
        let mut child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().expect("sleep runs");
        let process =
            Process::numbered(i32::try_from(child.id()).expect("a small number")).expect("it is there");
        assert!(process.lives());
        process.signal(Signal::KILL).expect("it is ours");
        let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
        while process.lives() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert!(!process.lives());
        child.wait().expect("it ends");
    }

    #[test]
    fn no_node_serves_at_an_address_of_nobody() {
        assert_eq!(Process::serving("http://192.0.2.1:1"), None);
    }
}
