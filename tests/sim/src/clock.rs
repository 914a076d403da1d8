//! The clocks of one machine: monotonic, boot and wall, each wrong in its own way.

/// 2027-01-15, when simulations begin.
pub const START_MS: u64 = 1_800_000_000_000;

const MILLION: u64 = 1_000_000;

/// Clocks that go on while their node is down. Times are the simulator's, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Where the monotonic clock stood, and when.
    base: (u64, u64),
    /// How fast it goes, in parts per million; zero while the machine is suspended.
    rate_ppm: u64,
    /// How long the machine was suspended: the boot clock counts it, the monotonic one doesn't.
    suspended: u64,
    /// How far the wall clock is off, in milliseconds.
    wall_off_ms: i64,
    suspended_since: Option<u64>,
}

impl Clock {
    /// Clocks that go by `rate_ppm`, a million being right; the wall clock is off by so much.
    #[must_use]
    pub fn new(rate_ppm: u64, wall_off_ms: i64) -> Self {
        Self { base: (0, 0), rate_ppm, suspended: 0, wall_off_ms, suspended_since: None }
    }

    fn scaled(&self, passed: u64) -> u64 {
        let scaled = u128::from(passed) * u128::from(self.rate_ppm) / u128::from(MILLION);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    pub(crate) fn monotonic(&self, global: u64) -> u64 {
        let now = self.suspended_since.unwrap_or(global);
        self.base.0 + self.scaled(now.saturating_sub(self.base.1))
    }

    /// How long it takes until the monotonic clock shows `monotonic`.
    pub(crate) fn global_until(&self, global: u64, monotonic: u64) -> u64 {
        let left = u128::from(monotonic.saturating_sub(self.monotonic(global)));
        u64::try_from((left * u128::from(MILLION)).div_ceil(u128::from(self.rate_ppm))).unwrap_or(u64::MAX)
    }

    fn boot(&self, global: u64) -> u64 {
        let asleep = self.suspended_since.map_or(0, |since| global.saturating_sub(since));
        self.monotonic(global) + self.suspended + asleep
    }

    pub(crate) fn boot_ms(&self, global: u64) -> u64 {
        self.boot(global) / MILLION
    }

    pub(crate) fn wall_ms(&self, global: u64) -> u64 {
        (START_MS + self.boot_ms(global)).saturating_add_signed(self.wall_off_ms)
    }

    /// The wall clock is set forwards or backwards.
    pub fn jump(&mut self, by_ms: i64) {
        self.wall_off_ms += by_ms;
    }

    /// The wall clock is right again.
    pub fn set_right(&mut self, global: u64) {
        let boot_ms = i64::try_from(self.boot_ms(global)).unwrap_or(i64::MAX);
        self.wall_off_ms = i64::try_from(global / MILLION).unwrap_or(i64::MAX) - boot_ms;
    }

    /// All clocks go by another rate from now on.
    pub fn drift(&mut self, global: u64, rate_ppm: u64) {
        self.base = (self.monotonic(global), global);
        self.rate_ppm = rate_ppm;
    }

    /// The machine is suspended: the monotonic clock stands.
    pub fn suspend(&mut self, global: u64) {
        self.suspended_since.get_or_insert(global);
    }

    /// The machine goes on.
    pub fn resume(&mut self, global: u64) {
        if let Some(since) = self.suspended_since.take() {
            let stood = self.base.0 + self.scaled(since.saturating_sub(self.base.1));
            self.base = (stood, global);
            self.suspended += global.saturating_sub(since);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suspension_shows_on_the_boot_clock_only() {
        let mut clock = Clock::new(MILLION, 0);
        clock.suspend(5 * MILLION);
        assert_eq!((clock.monotonic(8 * MILLION), clock.boot_ms(8 * MILLION)), (5 * MILLION, 8));
        clock.resume(9 * MILLION);
        assert_eq!((clock.monotonic(10 * MILLION), clock.boot_ms(10 * MILLION)), (6 * MILLION, 10));
    }

    #[test]
    fn a_slow_clock_takes_longer() {
        let clock = Clock::new(500_000, 0);
        assert_eq!(clock.global_until(100, 150), 200);
        assert_eq!(clock.monotonic(300), 150);
    }
}
