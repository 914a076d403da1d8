//! The two clocks of a node, and what they say about each other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::types::NodeId;

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

    /// By how much more the wall clock has moved until `now` than the boot clock, steps only: clocks are steered by up to
    /// 500 ppm, and twice that is taken off.
    fn jump_ms(self, now: Self) -> i64 {
        let boot = i128::from(now.boot_ms.saturating_sub(self.boot_ms));
        let jump = i128::from(now.wall_ms) - i128::from(self.wall_ms) - boot;
        let step = jump.signum() * (jump.abs() - boot / 1_000).max(0);
        i64::try_from(step).unwrap_or(i64::MAX)
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

/// How far the wall clocks of other nodes were ahead of our boot clock, and when that was measured. The wall clock of
/// our own doesn't enter: a measurement from before it was set must not vouch for it afterwards.
#[derive(Debug, Default)]
pub(crate) struct Offsets(BTreeMap<NodeId, Measured>);

#[derive(Clone, Copy, Debug)]
struct Measured {
    ahead_ms: i64,
    at_boot_ms: u64,
}

/// A measurement older than this says nothing about now.
const RECENT_MS: u64 = 10_000;

impl Offsets {
    /// Notes what a node's wall clock showed between `asked` and `answered`; half the way is taken as the moment.
    pub(crate) fn note(&mut self, id: NodeId, wall_ms: u64, asked: Instants, answered: Instants) {
        let ours = asked.boot_ms / 2 + answered.boot_ms / 2;
        let ahead_ms = i64::try_from(i128::from(wall_ms) - i128::from(ours)).unwrap_or(i64::MAX);
        self.0.insert(id, Measured { ahead_ms, at_boot_ms: answered.boot_ms });
    }

    /// How far a node's wall clock is ahead of ours, if measured lately.
    pub(crate) fn of(&self, id: NodeId, now: Instants) -> Option<i64> {
        let measured = self.0.get(&id)?;
        if now.boot_ms.saturating_sub(measured.at_boot_ms) > RECENT_MS {
            return None;
        }
        let ours = i128::from(now.wall_ms) - i128::from(now.boot_ms);
        Some(i64::try_from(i128::from(measured.ahead_ms) - ours).unwrap_or(i64::MAX))
    }

    /// How far the median of the voters is ahead of us; none unless a majority was measured lately. Of two middle
    /// values the one farther from us counts.
    pub(crate) fn median(&self, voters: &BTreeSet<NodeId>, us: NodeId, now: Instants) -> Option<i64> {
        self.median_for(us, voters, us, now)
    }

    /// The same as another voter would find it, by what we measured.
    fn median_for(&self, whom: NodeId, voters: &BTreeSet<NodeId>, us: NodeId, now: Instants) -> Option<i64> {
        let offset = |id: &NodeId| if *id == us { Some(0) } else { self.of(*id, now) };
        let theirs = offset(&whom)?;
        let mut offsets: Vec<i64> =
            voters.iter().filter_map(offset).map(|ahead| ahead.saturating_sub(theirs)).collect();
        if offsets.len() <= voters.len() / 2 {
            return None;
        }
        offsets.sort_unstable();
        let (low, high) = (offsets.get((offsets.len() - 1) / 2)?, offsets.get(offsets.len() / 2)?);
        Some(if low.unsigned_abs() > high.unsigned_abs() { *low } else { *high })
    }

    /// The other voters whose clocks are within `bound_ms` of the median: they may stamp where we may not.
    pub(crate) fn agreeing(
        &self,
        voters: &BTreeSet<NodeId>,
        us: NodeId,
        now: Instants,
        bound_ms: u64,
    ) -> BTreeSet<NodeId> {
        let agrees = |id: &NodeId| {
            *id != us
                && self.median_for(*id, voters, us, now).is_some_and(|off| off.unsigned_abs() <= bound_ms)
        };
        voters.iter().copied().filter(agrees).collect()
    }
}

/// Decides whether a leader's clock may stamp.
#[derive(Debug, Default)]
pub(crate) struct Stamper {
    /// The last stamp, and the term it was given in.
    last: Option<(u64, Instants)>,
}

/// What a stamp is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    pub(crate) now: Instants,
    pub(crate) term: u64,
    /// How far the median of the voters is ahead.
    pub(crate) median_ms: Option<i64>,
    /// We are the only voter.
    pub(crate) lone: bool,
    /// The state's time; 0 for a state without any.
    pub(crate) state_ms: u64,
    /// The operator vouches for a lone clock.
    pub(crate) accept_clock: bool,
    /// The offset and the jump that are tolerated.
    pub(crate) bound_ms: u64,
}

/// A lone clock this far ahead of the state needs the operator's word: an idle cluster may rest for a while.
const LONE_AHEAD_MS: u64 = 30 * 24 * 3_600_000;

impl Stamper {
    /// The stamp, or why this clock may not give one.
    pub(crate) fn stamp(&mut self, c: Circumstances) -> Result<u64, String> {
        let Circumstances { now, term, bound_ms, .. } = c;
        if let Some((last_term, last)) = self.last
            && last_term == term
        {
            let jump = last.jump_ms(now).unsigned_abs();
            if jump > bound_ms && !(c.lone && c.accept_clock) {
                return Err(format!("the wall clock jumped by {jump} ms against the boot clock"));
            }
        }
        if c.lone {
            if let Some(ahead) = c.ahead_of_rest_ms() {
                return Err(format!(
                    "the clock is {ahead} ms ahead of the state and no other node can confirm it; \
                     start with --accept-clock if it is right"
                ));
            }
        } else {
            let median = c.median_ms.ok_or("the clocks of a majority haven't been compared yet")?;
            if median.unsigned_abs() > bound_ms {
                return Err(format!("the clock is {median} ms behind the median of the voters"));
            }
        }
        self.last = Some((term, now));
        Ok(now.wall_ms)
    }
}

impl Circumstances {
    /// How far a lone clock is ahead of the state, where that takes the operator's word.
    fn ahead_of_rest_ms(&self) -> Option<u64> {
        let ahead = self.now.wall_ms.saturating_sub(self.state_ms);
        let unbelieved = self.state_ms > 0 && ahead > LONE_AHEAD_MS && !self.accept_clock;
        (self.lone && unbelieved).then_some(ahead)
    }
}

/// Whether what a node dates without the others is from the future. A clock that was right goes on being right as long as it
/// moves like the boot clock, whatever others show meanwhile, or nobody.
#[derive(Debug, Default)]
pub(crate) struct Dater {
    /// When this clock was last known to be right.
    right: Option<Instants>,
}

impl Dater {
    /// Takes note of what the clocks of the others have shown. Of a lone clock there is nothing but the operator's word, and
    /// its stamps.
    pub(crate) fn compare(&mut self, c: &Circumstances) {
        let agrees = c.median_ms.is_some_and(|median| median.unsigned_abs() <= c.bound_ms);
        let confirmed = if c.lone { c.accept_clock } else { agrees };
        if confirmed {
            self.right = Some(c.now);
        }
    }

    /// Takes note of a stamp, for which the clock was judged.
    pub(crate) fn stamped(&mut self, now: Instants) {
        self.right = Some(now);
    }

    /// How far the clock is ahead in milliseconds; none where there is nothing yet to hold it against.
    pub(crate) fn ahead_ms(
        &self,
        now: Instants,
        circumstances: impl FnOnce() -> Circumstances,
    ) -> Option<u64> {
        if let Some(right) = self.right {
            return Some(u64::try_from(right.jump_ms(now)).unwrap_or(0));
        }
        let c = circumstances();
        if c.lone {
            return Some(c.ahead_of_rest_ms().unwrap_or(0));
        }
        c.median_ms.map(|ahead| u64::try_from(ahead.saturating_neg()).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot_ms: u64, wall_ms: u64) -> Instants {
        Instants { boot_ms, wall_ms }
    }

    fn of_three(now: Instants, median_ms: Option<i64>) -> Circumstances {
        Circumstances {
            now,
            term: 1,
            median_ms,
            lone: false,
            state_ms: 0,
            accept_clock: false,
            bound_ms: 5_000,
        }
    }

    #[test]
    fn elapsed_is_what_the_faster_clock_saw() {
        assert_eq!(at(10, 1_000).elapsed_ms(at(20, 1_500)), 500);
        assert_eq!(at(10, 1_000).elapsed_ms(at(700, 900)), 690);
    }

    #[test]
    fn a_median_needs_a_recent_majority() {
        let voters = BTreeSet::from([1, 2, 3]);
        let mut offsets = Offsets::default();
        assert_eq!(offsets.median(&voters, 1, at(0, 0)), None);
        offsets.note(2, 9_000, at(100, 1_000), at(110, 1_010));
        assert_eq!(offsets.median(&voters, 1, at(200, 1_100)), Some(7_995));
        assert_eq!(offsets.median(&voters, 1, at(20_000, 0)), None, "too old to count");
        offsets.note(3, 1_000, at(100, 1_000), at(100, 1_000));
        assert_eq!(offsets.median(&voters, 1, at(200, 1_100)), Some(0), "two of three agree");
    }

    #[test]
    fn a_clock_that_is_off_leaves_it_to_those_that_agree() {
        let (voters, now) = (BTreeSet::from([1, 2, 3]), at(200, 90_000));
        let mut offsets = Offsets::default();
        offsets.note(2, 1_000, at(100, 0), at(100, 0));
        let agreeing = |offsets: &Offsets| offsets.agreeing(&voters, 1, now, 5_000);
        assert!(agreeing(&offsets).is_empty(), "of two that disagree nobody can tell which is right");
        offsets.note(3, 1_400, at(100, 0), at(100, 0));
        assert_eq!(agreeing(&offsets), BTreeSet::from([2, 3]));
        offsets.note(3, 400_000, at(100, 0), at(100, 0));
        assert!(agreeing(&offsets).is_empty(), "ours is the median");
    }

    #[test]
    fn a_measurement_from_before_our_clock_was_set_does_not_vouch_for_it() {
        let voters = BTreeSet::from([1, 2, 3]);
        let mut offsets = Offsets::default();
        offsets.note(2, 1_000, at(100, 1_000), at(100, 1_000));
        assert_eq!(offsets.median(&voters, 1, at(200, 1_100)), Some(0));
        assert_eq!(offsets.median(&voters, 1, at(200, 90_000)), Some(-88_900), "our clock was set meanwhile");
    }

    #[test]
    fn a_clock_off_the_median_may_not_stamp() {
        let mut stamper = Stamper::default();
        assert_eq!(stamper.stamp(of_three(at(0, 70), Some(4_999))), Ok(70));
        assert!(stamper.stamp(of_three(at(0, 70), Some(-5_001))).is_err());
        assert!(stamper.stamp(of_three(at(0, 70), None)).is_err());
    }

    #[test]
    fn a_clock_that_jumps_may_not_stamp_again_in_its_term() {
        let mut stamper = Stamper::default();
        assert!(stamper.stamp(of_three(at(1_000, 50_000), Some(0))).is_ok());
        assert!(stamper.stamp(of_three(at(2_000, 57_000), Some(0))).is_err());
        assert!(stamper.stamp(of_three(at(2_000, 40_000), Some(0))).is_err());
        assert!(stamper.stamp(of_three(at(2_000, 51_200), Some(0))).is_ok());
        let later_term = Circumstances { term: 2, ..of_three(at(3_000, 90_000), Some(0)) };
        assert!(stamper.stamp(later_term).is_ok(), "the median vouches for a new leadership");
    }

    #[test]
    fn a_lone_clock_far_ahead_needs_the_operators_word() {
        let lone =
            Circumstances { lone: true, state_ms: 1_000, ..of_three(at(0, LONE_AHEAD_MS + 2_000), None) };
        assert!(Stamper::default().stamp(lone).is_err());
        assert!(Stamper::default().stamp(Circumstances { accept_clock: true, ..lone }).is_ok());
        assert!(Stamper::default().stamp(Circumstances { state_ms: 0, ..lone }).is_ok());
    }

    #[test]
    fn a_clock_that_was_right_is_ahead_by_what_it_jumped_whatever_others_show() {
        let mut dater = Dater::default();
        let shows = |now, median| of_three(now, median);
        dater.compare(&shows(at(1_000, 50_000), Some(4_000)));
        let ahead = |dater: &Dater, now, median| dater.ahead_ms(now, || shows(now, median));
        assert_eq!(ahead(&dater, at(2_000, 51_000), Some(-90_000)), Some(0), "one other, and it is behind");
        assert_eq!(ahead(&dater, at(2_000, 151_000), None), Some(99_999), "less a thousandth for steering");
        assert_eq!(ahead(&dater, at(2_000, 11_000), None), Some(0), "behind is not ahead");
        dater.compare(&shows(at(2_000, 151_000), Some(-100_000)));
        assert_eq!(
            ahead(&dater, at(2_000, 151_000), Some(-100_000)),
            Some(99_999),
            "disagreement makes nothing right"
        );
        dater.compare(&shows(at(3_000, 152_000), Some(0)));
        assert_eq!(ahead(&dater, at(3_000, 152_000), Some(0)), Some(0), "the others have moved there too");
    }

    #[test]
    fn a_clock_that_was_never_right_is_held_against_the_others() {
        let ahead = |median| Dater::default().ahead_ms(at(0, 70), || of_three(at(0, 70), median));
        assert_eq!((ahead(Some(-7_000)), ahead(Some(7_000)), ahead(None)), (Some(7_000), Some(0), None));
    }

    #[test]
    fn a_lone_clock_dates_by_its_stamps_and_its_operators_word() {
        let lone = |now, accept_clock| Circumstances {
            lone: true,
            state_ms: 1_000,
            accept_clock,
            ..of_three(now, Some(0))
        };
        let far = at(0, LONE_AHEAD_MS + 2_000);
        let mut dater = Dater::default();
        dater.compare(&lone(far, false));
        assert_eq!(dater.ahead_ms(far, || lone(far, false)), Some(LONE_AHEAD_MS + 1_000));
        assert_eq!(dater.ahead_ms(far, || lone(far, true)), Some(0));
        dater.stamped(at(0, 2_000));
        assert_eq!(dater.ahead_ms(at(0, 9_000), || lone(far, false)), Some(7_000));
        dater.compare(&lone(at(0, 9_000), false));
        assert_eq!(
            dater.ahead_ms(at(0, 9_000), || lone(far, false)),
            Some(7_000),
            "it doesn't vouch for itself"
        );
        dater.compare(&lone(at(0, 9_000), true));
        assert_eq!(dater.ahead_ms(at(0, 9_000), || lone(far, true)), Some(0));
    }
}
