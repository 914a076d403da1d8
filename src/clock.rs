//! The only place that reads the clocks. Everything else is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// An instant that counts in expiry checks and in `iat`: the later of the wall clock and the time that the cluster has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    millis: u64,
}

impl Now {
    /// The later of this machine's wall clock and `reached_ms`, the newest time in the authority's log.
    #[must_use]
    pub fn at_least(reached_ms: u64) -> Self {
        Self { millis: wall_ms().max(reached_ms) }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.millis
    }

    /// Whole seconds since 1970, as tokens count them.
    #[must_use]
    pub fn secs(self) -> u64 {
        self.millis / 1000
    }
}

/// Milliseconds since 1970 by the wall clock; 0 if it stands before that.
#[must_use]
pub fn wall_ms() -> u64 {
    wall_ns() / 1_000_000
}

/// Nanoseconds since 1970 by the wall clock; 0 if it stands before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that the lint points to")]
pub fn wall_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos().try_into().unwrap_or(u64::MAX))
}

/// Milliseconds since the machine started, time asleep included; a step of the wall clock doesn't move it.
#[must_use]
pub fn boot_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    secs.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::{Now, boot_ms, wall_ms};

    #[test]
    fn now_never_falls_behind_the_cluster() {
        let ahead = wall_ms() + 3_600_000;
        assert_eq!(Now::at_least(ahead).millis(), ahead);
        assert!(Now::at_least(0).millis() >= ahead - 3_600_000);
    }

    #[test]
    fn the_boot_clock_does_not_run_backwards() {
        let first = boot_ms();
        assert!(boot_ms() >= first);
    }
}
