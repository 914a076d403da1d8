//! What happened, in one order, judged by the simulator's invariants.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use circlet_sim::history::Event;
use circlet_sim::invariant::{self, Invariant};

/// More violations of one invariant than this say nothing new.
const VIOLATIONS_MAX: usize = 20;

/// An invariant that was broken.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// Which one.
    pub(crate) invariant: &'static str,
    /// Milliseconds since the run began.
    pub(crate) at_ms: u64,
    /// What was seen.
    pub(crate) what: String,
}

/// Shows every event to every invariant. An event is told when its answer has arrived, so that "acknowledged" is never
/// earlier here than it was.
pub(crate) struct Judge {
    begun: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    invariants: Vec<Box<dyn Invariant>>,
    violations: Vec<Violation>,
    steps: u64,
    faults: BTreeMap<&'static str, u64>,
    operations: BTreeMap<&'static str, u64>,
    trace: Option<Box<dyn Write + Send>>,
}

impl Judge {
    /// A judge who has seen nothing; events are also written to `trace`.
    pub(crate) fn new(trace: Option<Box<dyn Write + Send>>) -> Self {
        let inner = Inner {
            invariants: invariant::all(),
            violations: Vec::new(),
            steps: 0,
            faults: BTreeMap::new(),
            operations: BTreeMap::new(),
            trace,
        };
        Self { begun: Instant::now(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Something happened.
    pub(crate) fn tell(&self, event: &Event) {
        let mut inner = self.lock();
        let now = self.now();
        inner.steps += 1;
        inner.write(now, event);
        for at in 0..inner.invariants.len() {
            let broken = inner.invariants.get_mut(at).and_then(|invariant| {
                let what = invariant.see(now, event).err()?;
                Some((invariant.name(), what))
            });
            if let Some((invariant, what)) = broken {
                inner.accuse(now, invariant, what);
            }
        }
    }

    /// The run is over: what can be judged only as a whole is judged now.
    pub(crate) fn finish(&self) {
        let now = self.now();
        let mut inner = self.lock();
        for at in 0..inner.invariants.len() {
            let broken = inner.invariants.get_mut(at).and_then(|invariant| {
                let what = invariant.finish().err()?;
                Some((invariant.name(), what))
            });
            if let Some((invariant, what)) = broken {
                inner.accuse(now, invariant, what);
            }
        }
    }

    /// Something that must hold doesn't, seen by the run itself.
    pub(crate) fn accuse(&self, invariant: &'static str, what: String) {
        let now = self.now();
        self.lock().accuse(now, invariant, what);
    }

    /// A fault was made.
    pub(crate) fn fault(&self, kind: &'static str, what: String) {
        *self.lock().faults.entry(kind).or_default() += 1;
        self.tell(&Event::Fault { what });
    }

    /// A client did something, or was told something.
    pub(crate) fn count(&self, what: &'static str) {
        *self.lock().operations.entry(what).or_default() += 1;
    }

    /// Whether that was ever counted.
    pub(crate) fn has_counted(&self, what: &str) -> bool {
        self.lock().operations.contains_key(what)
    }

    /// So many of something were looked at.
    pub(crate) fn note(&self, what: &'static str, count: usize) {
        *self.lock().operations.entry(what).or_default() += u64::try_from(count).unwrap_or(u64::MAX);
    }

    /// Whether each of these invariants was broken.
    pub(crate) fn has_seen(&self, invariants: &[&str]) -> bool {
        let violations = &self.lock().violations;
        let is_broken = |name: &&str| violations.iter().any(|violation| violation.invariant == *name);
        invariants.iter().all(is_broken)
    }

    /// Everything that was broken.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        self.lock().violations.clone()
    }

    /// Events, faults by kind, operations by kind.
    pub(crate) fn counts(&self) -> (u64, BTreeMap<&'static str, u64>, BTreeMap<&'static str, u64>) {
        let inner = self.lock();
        (inner.steps, inner.faults.clone(), inner.operations.clone())
    }
}

impl Inner {
    fn write(&mut self, now: u64, line: &impl std::fmt::Display) {
        if let Some(trace) = &mut self.trace {
            // The trace is for people; a full disk must not end the run.
            let _ = writeln!(trace, "{:>8}.{:03} {line}", now / 1_000_000, now / 1_000 % 1_000);
        }
    }

    fn accuse(&mut self, now: u64, invariant: &'static str, what: String) {
        self.write(now, &format_args!("VIOLATION of {invariant}: {what}"));
        let of_it = self.violations.iter().filter(|violation| violation.invariant == invariant);
        if of_it.count() < VIOLATIONS_MAX {
            self.violations.push(Violation { invariant, at_ms: now / 1_000_000, what });
        }
    }
}

#[cfg(test)]
mod tests {
    use circlet_sim::history::Event;
    use circlet_token::TokenId;

    use super::Judge;

    #[test]
    fn a_token_handed_out_twice_with_other_claims_is_seen() {
        let judge = Judge::new(None);
        for sum in [1, 1, 2] {
            judge.tell(&Event::Issued { id: TokenId([7; 16]), by: None, index: 3, sum });
        }
        let seen: Vec<_> = judge.violations().iter().map(|violation| violation.invariant).collect();
        assert_eq!(seen, ["issued-once"]);
    }

    #[test]
    fn what_was_acknowledged_must_be_in_what_is_fresh() {
        let judge = Judge::new(None);
        judge.tell(&Event::Acknowledged { node: 1, index: 9, holds: 9, sent: judge.now() });
        judge.tell(&Event::Fresh { node: 2, index: 8, sent: judge.now() });
        assert_eq!(judge.violations().len(), 1);
    }
}
