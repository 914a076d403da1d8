//! The two clocks of a node, and what they say about each other.

use std::time::Duration;

/// Where time comes from; a simulator supplies its own.
pub trait Clocks: Send + Sync + 'static {
    /// Milliseconds since boot, counting suspension; never goes back while the machine runs.
    fn boot_ms(&self) -> u64;
    /// Milliseconds since 1970, as the machine believes; may jump.
    fn wall_ms(&self) -> u64;
    /// Both, read one after the other.
    fn now(&self) -> Instants {
        Instants { boot_ms: self.boot_ms(), wall_ms: self.wall_ms() }
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instants {
    /// Milliseconds since boot, counting suspension.
    pub boot_ms: u64,
    /// Milliseconds since 1970.
    pub wall_ms: u64,
}

impl Instants {
    /// Milliseconds from here to `now`, by the clock on which more has passed.
    #[must_use]
    pub fn elapsed_ms(self, now: Self) -> u64 {
        now.boot_ms.saturating_sub(self.boot_ms).max(now.wall_ms.saturating_sub(self.wall_ms))
    }
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClocks;

impl Clocks for SystemClocks {
    fn boot_ms(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let milliseconds = u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000;
        seconds.saturating_mul(1000).saturating_add(milliseconds)
    }

    #[allow(clippy::disallowed_methods, reason = "the one place of this crate where wall time enters")]
    fn wall_ms(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        u64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(u64::MAX)
    }
}
