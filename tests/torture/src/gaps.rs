//! For how long each kind of request succeeded nowhere.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The last success of each kind, and the longest time between two.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Mutex<BTreeMap<&'static str, (u64, u64)>>);

impl Gaps {
    /// A request of this kind succeeded, `now` in nanoseconds.
    pub(crate) fn success(&self, kind: &'static str, now: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, longest) = all.entry(kind).or_insert((now, 0));
        *longest = (*longest).max(now.saturating_sub(*last));
        *last = now;
    }

    /// The longest gap of each kind in milliseconds.
    pub(crate) fn longest_ms(&self) -> BTreeMap<&'static str, u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(kind, (_, longest))| (*kind, longest / 1_000_000)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;

    #[test]
    fn the_longest_time_between_two_successes_counts() {
        let gaps = Gaps::default();
        for at in [10, 12, 40, 41] {
            gaps.success("write", at * 1_000_000);
        }
        assert_eq!(gaps.longest_ms().get("write"), Some(&28));
    }
}
