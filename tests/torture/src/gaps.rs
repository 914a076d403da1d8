//! For how long each kind of request succeeded nowhere while clients were at work.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is counted, also if it never succeeds.
const KINDS: [&str; 5] = ["fresh read", "plain issue", "plain verify", "verify", "write"];

/// The last success of each kind, and the longest time between two; beginning and end count as one.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Mutex<Option<Count>>);

#[derive(Debug)]
struct Count {
    begun: u64,
    by_kind: BTreeMap<&'static str, (u64, u64)>,
    is_over: bool,
}

impl Gaps {
    /// The clients begin, `now` in nanoseconds. What succeeded before doesn't count.
    pub(crate) fn begin(&self, now: u64) {
        let by_kind = KINDS.into_iter().map(|kind| (kind, (now, 0))).collect();
        self.with(|count| *count = Some(Count { begun: now, by_kind, is_over: false }));
    }

    /// A request of this kind succeeded.
    pub(crate) fn success(&self, kind: &'static str, now: u64) {
        self.with(|count| {
            if let Some(count) = count.as_mut().filter(|count| !count.is_over) {
                lengthen(count.by_kind.entry(kind).or_insert((count.begun, 0)), now);
            }
        });
    }

    /// The clients are told to stop: that they rest from now on is no gap.
    pub(crate) fn end(&self, now: u64) {
        self.with(|count| {
            if let Some(count) = count.as_mut().filter(|count| !count.is_over) {
                for kind in count.by_kind.values_mut() {
                    lengthen(kind, now);
                }
                count.is_over = true;
            }
        });
    }

    /// The longest gap of each kind in milliseconds; of one that never succeeded, the whole time.
    pub(crate) fn longest_ms(&self) -> BTreeMap<&'static str, u64> {
        self.with(|count| {
            let by_kind = count.iter().flat_map(|count| &count.by_kind);
            by_kind.map(|(kind, (_, longest))| (*kind, longest / 1_000_000)).collect()
        })
    }

    fn with<T>(&self, what: impl FnOnce(&mut Option<Count>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A gap has ended.
fn lengthen((last, longest): &mut (u64, u64), now: u64) {
    *longest = (*longest).max(now.saturating_sub(*last));
    *last = (*last).max(now);
}

#[cfg(test)]
mod tests {
    use super::Gaps;

    /// The longest gap of writes that succeeded then, in a run from 0 to 100 ms; what comes outside changes nothing.
    fn longest(writes: &[u64]) -> u64 {
        let gaps = Gaps::default();
        gaps.success("write", 1);
        gaps.begin(1_000_000_000);
        for at in writes {
            gaps.success("write", 1_000_000_000 + at * 1_000_000);
        }
        gaps.end(1_100_000_000);
        gaps.success("write", 9_000_000_000);
        gaps.longest_ms().get("write").copied().expect("a gap of writes")
    }

    #[test]
    fn the_longest_time_between_two_successes_counts() {
        assert_eq!(longest(&[10, 12, 62, 63, 90]), 50);
    }

    #[test]
    fn so_does_the_time_before_the_first_and_after_the_last() {
        assert_eq!(longest(&[70, 80, 90]), 70);
        assert_eq!(longest(&[10, 20, 30]), 70);
    }

    #[test]
    fn what_never_succeeded_is_a_gap_from_beginning_to_end() {
        assert_eq!(longest(&[]), 100);
    }
}
