//! What the disk under the log does: how long flushes take, how much waits for them, and whether there is room.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The upper bounds of the classes that flushes are counted in, in microseconds; slower ones are in the last class.
pub const FLUSH_MICROS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// A flush that is under way for longer is a disk's fault, and no load's.
const STUCK: Duration = Duration::from_secs(2);
/// Flushes that take longer on average make writes too slow for whoever waits for them.
const SLOW: Duration = Duration::from_millis(500);
/// A new flush counts so much in the average, as one part of so many.
const AVERAGE_PARTS: u64 = 4;

/// A look at the disk under the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskReport {
    /// Batches that wait to be made durable.
    pub queued: u64,
    /// Flushes by how long they took: as many classes as [`FLUSH_MICROS`] has bounds, and one for slower ones.
    pub flushes: Vec<u64>,
    /// How long all of them took together, in microseconds.
    pub flush_micros: u64,
    /// What is wrong, if the disk is why writes don't go on.
    pub trouble: Option<DiskTrouble>,
}

/// Why a disk is not one to lead with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTrouble {
    /// There is no room for what is to be written; it is waited for.
    Full,
    /// Flushes take too long, or one doesn't end.
    Slow,
    /// A write failed; nothing is written any more.
    Failed,
}

impl DiskTrouble {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// What whoever flushes notes, and others read. Times are in microseconds since anything that doesn't change, so that a
/// simulated disk can note by its own clock.
pub struct Pulse {
    epoch: Instant,
    queued: AtomicU64,
    classes: [AtomicU64; FLUSH_MICROS.len() + 1],
    micros: AtomicU64,
    average_micros: AtomicU64,
    /// When the flush under way began, plus one; 0 if none is.
    begun: AtomicU64,
    waits_for_room: AtomicBool,
    closing: AtomicBool,
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pulse").field("waits_for_room", &self.waits_for_room).finish_non_exhaustive()
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Pulse {
    /// Of a disk of which nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            epoch: Instant::now(),
            queued: AtomicU64::new(0),
            classes: Default::default(),
            micros: AtomicU64::new(0),
            average_micros: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            waits_for_room: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        }
    }

    /// A batch was handed over.
    pub fn queued(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
    }

    /// So many batches were taken.
    pub fn taken(&self, batches: u64) {
        self.queued.fetch_sub(batches, Ordering::Relaxed);
    }

    /// Nobody hands over any more, and nobody waits for room that may never come.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Notes whether room is waited for.
    pub fn wait_for_room(&self, waits: bool) {
        if self.waits_for_room.swap(waits, Ordering::Relaxed) != waits {
            if waits {
                tracing::error!(
                    "the disk has no room for the log; it waits, and acknowledges nothing meanwhile"
                );
            } else {
                tracing::info!("the disk has room for the log again");
            }
        }
    }

    /// Times what `flush` does.
    pub(super) fn time<T>(&self, flush: impl FnOnce() -> T) -> T {
        self.begin(micros(self.epoch.elapsed()));
        let result = flush();
        self.end(micros(self.epoch.elapsed()));
        result
    }

    /// A flush begins now.
    pub fn begin(&self, now: u64) {
        self.begun.store(now.saturating_add(1), Ordering::Relaxed);
    }

    /// It ends now.
    pub fn end(&self, now: u64) {
        let begun = self.begun.swap(0, Ordering::Relaxed).saturating_sub(1);
        self.note(now.saturating_sub(begun));
    }

    fn note(&self, took: u64) {
        let class = FLUSH_MICROS.iter().position(|bound| took <= *bound).unwrap_or(FLUSH_MICROS.len());
        if let Some(class) = self.classes.get(class) {
            class.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(took, Ordering::Relaxed);
        let average = self.average_micros.load(Ordering::Relaxed);
        let moved = (average * (AVERAGE_PARTS - 1)).saturating_add(took) / AVERAGE_PARTS;
        self.average_micros.store(moved, Ordering::Relaxed);
    }

    /// What was seen; `failed` is known to whoever writes.
    pub(super) fn report(&self, failed: bool) -> DiskReport {
        self.report_at(micros(self.epoch.elapsed()), failed)
    }

    /// What was seen until now.
    #[must_use]
    pub fn report_at(&self, now: u64, failed: bool) -> DiskReport {
        let under_way = match self.begun.load(Ordering::Relaxed) {
            0 => 0,
            begun => now.saturating_sub(begun),
        };
        let slow = under_way > micros(STUCK) || self.average_micros.load(Ordering::Relaxed) > micros(SLOW);
        let trouble = match (failed, self.waits_for_room.load(Ordering::Relaxed), slow) {
            (true, _, _) => Some(DiskTrouble::Failed),
            (_, true, _) => Some(DiskTrouble::Full),
            (_, _, true) => Some(DiskTrouble::Slow),
            _ => None,
        };
        DiskReport {
            queued: self.queued.load(Ordering::Relaxed),
            flushes: self.classes.iter().map(|class| class.load(Ordering::Relaxed)).collect(),
            flush_micros: self.micros.load(Ordering::Relaxed),
            trouble,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_flushes_are_seen_and_forgotten_when_they_are_over() {
        let pulse = Pulse::new();
        pulse.note(700);
        pulse.note(3_000_000);
        pulse.note(3_000_000);
        let report = pulse.report(false);
        assert_eq!(report.trouble, Some(DiskTrouble::Slow));
        assert_eq!((report.flushes[1], report.flushes[12], report.flush_micros), (1, 2, 6_000_700));
        for _ in 0..16 {
            pulse.note(700);
        }
        assert_eq!(pulse.report(false).trouble, None);
    }

    #[test]
    fn one_slow_flush_is_no_trouble_and_a_failure_is_the_worst() {
        let pulse = Pulse::new();
        pulse.note(1_500_000);
        assert_eq!(pulse.report(false).trouble, None);
        pulse.wait_for_room(true);
        assert_eq!(pulse.report(false).trouble, Some(DiskTrouble::Full));
        assert_eq!(pulse.report(true).trouble, Some(DiskTrouble::Failed));
    }
}
