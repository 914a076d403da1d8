//! What is done to clocks.

use super::Chaos;
use crate::cluster::Computer;
use crate::fault::Fault;
use crate::runtime::global_nanos;
use crate::scope::lock;

const SECONDS_MS_MAX: u64 = 20_000;
const DAYS_MS_MAX: u64 = 3 * 86_400_000;
/// Ten years.
const YEARS_MS_MAX: u64 = 10 * 365 * 86_400_000;

/// A clock that was wrong is forgotten after this, in nanoseconds.
const REMEMBERED: u64 = 12_000_000_000;

/// The promises hold for clocks that drift by this at most, against true time.
const DRIFT_PPM_MAX: u64 = 200;

impl Chaos {
    /// Sets one wall clock wrong: the promise is about one. Nodes remember for ten seconds what the others showed, so
    /// another clock may go wrong only when this one has been right for longer than that.
    pub(super) fn set_clock(&self) {
        let computers = self.cluster.computers();
        let now = global_nanos();
        let (wrong, right_since) = *lock(&self.wrong_clock);
        let is_forgotten = right_since.is_some_and(|since| now > since + REMEMBERED);
        let victim = match computers.iter().find(|computer| Some(computer.id) == wrong) {
            Some(wrong) if !is_forgotten => wrong,
            // Its computer is gone, and with it its clock; what the others remember of it isn't.
            None if wrong.is_some() && right_since.is_none() => {
                lock(&self.wrong_clock).1 = Some(now);
                return;
            }
            None if wrong.is_some() && !is_forgotten => return,
            _ => match self.dice.pick(&computers) {
                Some(victim) => victim,
                None => return,
            },
        };
        for computer in &computers {
            lock(&computer.clock).set_right(now);
        }
        let (fault, most) = match self.dice.between(0, 3) {
            0 => (None, 0),
            1 => (Some(Fault::ClockBySeconds), SECONDS_MS_MAX),
            2 => (Some(Fault::ClockByDays), DAYS_MS_MAX),
            _ => (Some(Fault::ClockByYears), YEARS_MS_MAX),
        };
        let size = i64::try_from(self.dice.between(0, most)).unwrap_or(0);
        let by_ms = if self.dice.percent(50) { size } else { -size };
        let what = format!("the wall clock of {} is set off by {by_ms} ms", victim.id);
        match fault {
            Some(fault) => self.note(fault, what),
            None => self.say(what),
        }
        lock(&victim.clock).jump(by_ms);
        *lock(&self.wrong_clock) = (Some(victim.id), (by_ms == 0).then_some(now));
    }

    /// All clocks of a machine go by another rate from now on.
    pub(super) fn drift(&self, victim: &Computer) {
        let rate_ppm = 1_000_000 - DRIFT_PPM_MAX + self.dice.between(0, 2 * DRIFT_PPM_MAX);
        self.note(Fault::Drift, format!("the clocks of {} go by {rate_ppm} ppm", victim.id));
        lock(&victim.clock).drift(global_nanos(), rate_ppm);
    }
}
