//! Freshness of what somebody else decides, and this cluster only hears of.
//!
//! Whoever leads asks a source and, once the view holds what it said, notes the instant before the question. With each
//! read index it tells how long ago that was; the node that asked counts from its own noted instant minus that age, so no
//! two clocks are ever compared. A leader that has not asked yet knows nothing, and says nothing.

use std::collections::BTreeMap;

use crate::clock_watch::Instants;

/// What stands for a source: a number of the machine's own choice that never means another.
pub type SourceId = u64;

/// Since when the view holds all that each source had decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<SourceId, Instants>);

impl Sources {
    /// Notes that all that a source had decided before `noted` is in the view. An earlier instant changes nothing.
    pub(crate) fn note(&mut self, source: SourceId, noted: Instants) {
        let known = self.0.entry(source).or_insert(noted);
        if known.boot_ms < noted.boot_ms {
            *known = noted;
        }
    }

    /// The age of each, in milliseconds.
    pub(crate) fn ages(&self, now: Instants) -> Vec<(SourceId, u64)> {
        self.0.iter().map(|(source, noted)| (*source, noted.elapsed_ms(now))).collect()
    }

    /// What the leader told of their ages after `asked`: an instant before this machine's first can't be told.
    pub(crate) fn learn(&mut self, ages: &[(SourceId, u64)], asked: Instants) {
        for (source, age_ms) in ages {
            let boot_ms = asked.boot_ms.checked_sub(*age_ms);
            let wall_ms = asked.wall_ms.checked_sub(*age_ms);
            if let (Some(boot_ms), Some(wall_ms)) = (boot_ms, wall_ms) {
                self.note(*source, Instants { boot_ms, wall_ms });
            }
        }
    }

    /// How old, at most, what is known of a source is, in milliseconds; `None` if nothing was proved.
    #[must_use]
    pub fn age_ms(&self, source: SourceId, now: Instants) -> Option<u64> {
        self.0.get(&source).map(|noted| noted.elapsed_ms(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instants {
        Instants { boot_ms: ms, wall_ms: ms + 1_000_000 }
    }

    #[test]
    fn a_node_counts_from_its_own_instant_minus_the_age_that_the_leader_told() {
        let (mut leader, mut node) = (Sources::default(), Sources::default());
        leader.note(7, at(1_000));
        // The node's clocks show something else altogether; its question was on its way for a while.
        node.learn(&leader.ages(at(1_400)), at(50_000));
        assert_eq!(node.age_ms(7, at(50_100)), Some(500));
        assert_eq!(node.age_ms(8, at(50_100)), None);
        // What was proved once stays true; what is told later of an earlier instant changes nothing.
        node.learn(&[(7, 5_000)], at(50_200));
        assert_eq!(node.age_ms(7, at(50_200)), Some(600));
        // A clock that jumped counts as time that passed.
        let jumped = Instants { boot_ms: 50_300, wall_ms: at(50_300).wall_ms + 9_000 };
        assert_eq!(node.age_ms(7, jumped), Some(9_700));
    }

    #[test]
    fn an_age_that_reaches_behind_the_start_of_the_machine_proves_nothing() {
        let mut node = Sources::default();
        node.learn(&[(7, 60_000)], at(5_000));
        assert_eq!(node.age_ms(7, at(5_000)), None);
    }
}
