//! What the clients were told, and when.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// More problems than this say nothing new.
const PROBLEMS_MAX: usize = 40;

/// What clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// Issue a plain token.
    Issue,
    /// Verify a plain token.
    Verify,
    /// Use a refresh token.
    Refresh,
    /// Revoke a token.
    Revoke,
}

impl Operation {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Issue, Self::Verify, Self::Refresh, Self::Revoke];

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Verify => "verify",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
        }
    }

    /// Whether it goes through the log.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::Refresh | Self::Revoke)
    }
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// What was asked.
    pub(super) operation: Operation,
    /// When the answer came, in milliseconds since the load began.
    pub(super) at_ms: u64,
    /// Whether it was done.
    pub(super) done: bool,
    /// Whether more than one node was asked.
    pub(super) retried: bool,
}

/// Something that happened to the cluster.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Milliseconds since the load began.
    pub(super) at_ms: u64,
    /// What happened.
    pub(super) what: String,
}

/// Everything that happened in a drill.
pub(super) struct Record {
    begun: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    samples: Vec<Sample>,
    marks: Vec<Mark>,
    ended_ms: Option<u64>,
    stale_accepts: u64,
    double_refreshes: u64,
    problems: Vec<String>,
}

impl Record {
    /// The load begins now.
    pub(super) fn begin() -> Self {
        Self { begun: Instant::now(), inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the load began.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The load has ended.
    pub(super) fn end(&self) {
        let now = self.now_ms();
        self.lock().ended_ms = Some(now);
    }

    /// When the load ended, or now if it has not.
    pub(super) fn length_ms(&self) -> u64 {
        self.lock().ended_ms.unwrap_or_else(|| self.now_ms())
    }

    /// A request has ended.
    pub(super) fn sample(&self, operation: Operation, done: bool, retried: bool) {
        let at_ms = self.now_ms();
        self.lock().samples.push(Sample { operation, at_ms, done, retried });
    }

    /// Something happened to the cluster.
    pub(super) fn mark(&self, what: String) {
        let at_ms = self.now_ms();
        self.lock().marks.push(Mark { at_ms, what });
    }

    /// A revoked token was accepted after the bound.
    pub(super) fn stale_accept(&self, what: String) {
        let mut inner = self.lock();
        inner.stale_accepts += 1;
        inner.problems.push(what);
    }

    /// A refresh token gave two different successors.
    pub(super) fn double_refresh(&self, what: String) {
        let mut inner = self.lock();
        inner.double_refreshes += 1;
        inner.problems.push(what);
    }

    /// Something that an operator should read.
    pub(super) fn problem(&self, what: String) {
        let mut inner = self.lock();
        if inner.problems.len() < PROBLEMS_MAX {
            inner.problems.push(what);
        }
    }

    /// Revoked tokens that were accepted, refresh tokens with two successors.
    pub(super) fn broken(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.stale_accepts, inner.double_refreshes)
    }

    /// Everything that an operator should read.
    pub(super) fn problems(&self) -> Vec<String> {
        self.lock().problems.clone()
    }

    /// All requests, in the order in which they ended.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.lock().samples.clone()
    }

    /// All marks.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.lock().marks.clone()
    }
}

/// The longest time in which none of these requests was done, from the beginning to the end of the load, and when it began.
pub(super) fn longest_gap<'a>(samples: impl Iterator<Item = &'a Sample>, length_ms: u64) -> (u64, u64) {
    let mut longest = (0, 0);
    let mut last = 0;
    let done = samples.filter(|sample| sample.done).map(|sample| sample.at_ms.min(length_ms));
    for at in done.chain(std::iter::once(length_ms)) {
        let gap = at.saturating_sub(last);
        if gap > longest.0 {
            longest = (gap, last);
        }
        last = last.max(at);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::{Operation, Sample, longest_gap};

    fn at(at_ms: u64, done: bool) -> Sample {
        Sample { operation: Operation::Refresh, at_ms, done, retried: false }
    }

    #[test]
    fn failures_do_not_end_a_gap() {
        let samples = [at(10, true), at(20, true), at(300, false), at(420, true), at(430, true)];
        assert_eq!(longest_gap(samples.iter(), 440), (400, 20));
    }

    #[test]
    fn a_gap_lasts_until_the_end_if_nothing_ends_it() {
        assert_eq!(longest_gap([at(10, true)].iter(), 1_000), (990, 10));
        assert_eq!(longest_gap([].iter(), 1_000), (1_000, 0));
    }
}
