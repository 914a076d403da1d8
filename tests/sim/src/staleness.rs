//! How long a node may go by a view that lacks something: `verify.max-staleness-ms`, as it was in force when.

/// With 200 ppm of drift, and clocks that show whole milliseconds.
#[must_use]
pub fn with_drift(bound_ms: u64) -> u64 {
    bound_ms * 1_000_000 + bound_ms * 200 + 1_000_000
}

/// The values of the setting in one cluster, in nanoseconds.
#[derive(Debug, Default)]
pub struct Staleness {
    periods: Vec<Period>,
}

#[derive(Debug)]
struct Period {
    bound: u64,
    from: u64,
    /// When the next value took its place.
    until: u64,
}

impl Staleness {
    /// Another value was decided, which some node has applied.
    pub fn set(&mut self, now: u64, bound_ms: u64) {
        if let Some(last) = self.periods.last_mut() {
            last.until = now;
        }
        self.periods.push(Period { bound: with_drift(bound_ms), from: now, until: u64::MAX });
    }

    /// Until when a node may go by a view that lacks what was acknowledged at `at`. A value that was decided later stands in
    /// no such view. One that was decided before and stands no more is in views only that were proved fresh while it stood.
    #[must_use]
    pub fn ends(&self, at: u64) -> u64 {
        let known = self.periods.iter().filter(|period| period.from <= at);
        known.map(|period| period.until.min(at) + period.bound).max().unwrap_or(at)
    }

    /// The longest that it was.
    #[must_use]
    pub fn longest(&self) -> u64 {
        self.periods.iter().map(|period| period.bound).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_value_is_in_force_from_its_decision_to_the_next_and_for_its_own_length() {
        let mut staleness = Staleness::default();
        let (short, long) = (with_drift(1_000), with_drift(3_000));
        staleness.set(0, 3_000);
        staleness.set(10 * SECOND, 1_000);
        staleness.set(20 * SECOND, 3_000);
        assert_eq!(staleness.ends(9 * SECOND), 9 * SECOND + long);
        assert_eq!(
            staleness.ends(11 * SECOND),
            10 * SECOND + long,
            "by those who hadn't heard of the change"
        );
        assert_eq!(staleness.ends(15 * SECOND), 15 * SECOND + short);
        assert_eq!(
            staleness.ends(19 * SECOND),
            19 * SECOND + short,
            "who knows that it was raised knows more"
        );
        assert_eq!(staleness.ends(21 * SECOND), 21 * SECOND + long);
        assert_eq!(staleness.longest(), long);
    }
}
