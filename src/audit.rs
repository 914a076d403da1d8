//! The audit log: one line for each thing that was decided or refused, written before its answer leaves.
//!
//! The format is that of `access-security-audit.log` (contract section 1.11), which log shippers parse: nine fields
//! separated by `|`, of which the first eight hold no space. Token values never come near it.
//!
//! A line that can't be written is kept in memory, up to a bound, and written when that is possible again; what no
//! longer fits is counted, and the count is the first line afterwards. Whether requests are refused meanwhile is the
//! operator's choice ([`OnFailure`]).

mod calendar;
mod file;
mod line;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;

use crate::clock;
pub use calendar::{date_of, read_timestamp, timestamp};
use file::RotatedFile;
pub use file::Rotation;
use line::LINE_BYTES_MAX;
pub use line::{Change, Entity, Line};

/// The file's name below the home's `logs/`.
pub const FILE_NAME: &str = "access-security-audit.log";

/// So many bytes of lines are kept in memory while they can't be written: some ten thousand.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often lines that are kept are tried again while no request does so.
const RETRY: Duration = Duration::from_secs(1);

/// What happens to requests while their lines can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Writes are refused; what needs no log entry goes on until the memory for its lines is full. Revoking goes on
    /// in any case: a token that must go is worth more than a line about it.
    Refuse,
    /// Everything goes on.
    Continue,
}

/// How the audit log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What happens when it can't be.
    pub on_failure: OnFailure,
    /// When files are put aside.
    pub rotation: Rotation,
}

impl Default for Settings {
    fn default() -> Self {
        Self { on_failure: OnFailure::Refuse, rotation: Rotation { bytes_max: 64 * 1024 * 1024, kept: 10 } }
    }
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the file.
    Written,
    /// It is in memory, with so many lines in all that wait to be written.
    Kept(usize),
    /// Neither the file nor the memory had room; it was counted.
    LeftOut,
}

/// A request that may not go on, since its line could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit log of this node can't be written, and audit.on-failure is `refuse`")]
pub struct Refused;

/// The open log. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Audit {
    log: Arc<Mutex<Log>>,
    on_failure: OnFailure,
}

#[derive(Debug)]
struct Log {
    file: RotatedFile,
    /// Lines that could not be written yet, oldest first. Not empty means that the last try failed.
    waiting: VecDeque<String>,
    waiting_bytes: usize,
    left_out: u64,
}

impl Audit {
    /// Opens `logs/access-security-audit.log` for appending; the folder is made if missing.
    pub fn open(logs: &Path, settings: Settings) -> io::Result<Self> {
        std::fs::create_dir_all(logs)?;
        let file = RotatedFile::open(logs.join(FILE_NAME), settings.rotation)?;
        let log = Log { file, waiting: VecDeque::new(), waiting_bytes: 0, left_out: 0 };
        Ok(Self { log: Arc::new(Mutex::new(log)), on_failure: settings.on_failure })
    }

    /// Whether a write may be decided: asked before, so that a refusal leaves nothing behind.
    pub fn admit_write(&self) -> Result<(), Refused> {
        let mut log = self.locked();
        if self.on_failure == OnFailure::Continue || log.catch_up().is_ok() { Ok(()) } else { Err(Refused) }
    }

    /// Whether something may go on whose line may wait in memory.
    pub fn admit_kept(&self) -> Result<(), Refused> {
        let mut log = self.locked();
        let fits = log.waiting_bytes + LINE_BYTES_MAX <= KEPT_BYTES_MAX;
        if self.on_failure == OnFailure::Continue || fits || log.catch_up().is_ok() {
            Ok(())
        } else {
            Err(Refused)
        }
    }

    /// Writes one line, after those that wait.
    pub(crate) fn record(&self, line: &Line<'_>) -> Recorded {
        let text = line.render(clock::wall_ms());
        let mut log = self.locked();
        let written = log.catch_up().and_then(|()| log.file.append(text.as_bytes()));
        match written {
            Ok(()) => Recorded::Written,
            Err(error) => log.keep(text, &error, line.request_id),
        }
    }

    /// What `audit.on-failure` says.
    #[must_use]
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// How many lines wait in memory.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.locked().waiting.len()
    }

    /// Writes what waits as soon as that is possible, whether or not requests come. Runs until it is dropped, and
    /// tries a last time then.
    pub(crate) fn keep_trying(self) -> impl Future<Output = ()> + Send + 'static {
        let last = LastTry(self);
        async move {
            loop {
                tokio::time::sleep(RETRY).await;
                last.0.catch_up();
            }
        }
    }

    fn catch_up(&self) {
        let mut log = self.locked();
        if log.catch_up().is_err() {
            tracing::debug!(lines = log.waiting.len(), "audit lines still wait to be written");
        }
    }

    fn locked(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LastTry(Audit);

impl Drop for LastTry {
    fn drop(&mut self) {
        self.0.catch_up();
    }
}

impl Log {
    /// Writes what waits, oldest first.
    fn catch_up(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() && self.left_out == 0 {
            return Ok(());
        }
        let (lines, bytes) = (self.waiting.len(), self.waiting_bytes);
        while let Some(line) = self.waiting.front() {
            self.file.append(line.as_bytes())?;
            self.waiting_bytes -= line.len();
            self.waiting.pop_front();
        }
        if self.left_out > 0 {
            self.file.append(left_out(self.left_out).as_bytes())?;
        }
        tracing::warn!(lines, bytes, left_out = self.left_out, "audit lines that had waited were written");
        self.left_out = 0;
        Ok(())
    }

    fn keep(&mut self, line: String, error: &io::Error, request_id: &str) -> Recorded {
        if self.waiting_bytes + line.len() > KEPT_BYTES_MAX {
            self.left_out += 1;
            // The last place that still takes it: the node's own log.
            tracing::error!(%error, request_id, line = line.trim_end(), "an audit line could not be kept");
            return Recorded::LeftOut;
        }
        if self.waiting.is_empty() {
            tracing::error!(%error, request_id, "the audit log can't be written; lines are kept in memory");
        }
        self.waiting_bytes += line.len();
        self.waiting.push_back(line);
        Recorded::Kept(self.waiting.len())
    }
}

/// The line that says how many are missing.
fn left_out(lines: u64) -> String {
    let data = json!({"removed": {"lines": lines}});
    Line::by_node(Change::Deleted, Entity::Audit, FILE_NAME, data).render(clock::wall_ms())
}

#[cfg(test)]
mod tests;
