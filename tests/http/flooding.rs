//! How long a flood goes on: by default each comes once, and `FLOOD_SECS` repeats them for so long.

use std::time::{Duration, Instant};

/// A flood that may be repeated.
pub(crate) struct Flooding {
    begun: Instant,
    wanted: Duration,
}

impl Flooding {
    /// It begins now.
    pub(crate) fn begin() -> Self {
        let secs = std::env::var("FLOOD_SECS").ok().and_then(|secs| secs.parse().ok()).unwrap_or(0);
        Self { begun: Instant::now(), wanted: Duration::from_secs(secs) }
    }

    /// Whether it comes more than once.
    pub(crate) fn goes_on(&self) -> bool {
        !self.wanted.is_zero()
    }

    /// Whether it has lasted for as long as it should.
    pub(crate) fn is_over(&self) -> bool {
        self.begun.elapsed() >= self.wanted
    }
}
