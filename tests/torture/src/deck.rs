//! Kinds of faults, in an order that chance decides.

use circlet_sim::dice::Dice;

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A process is killed, and started again later.
    Kill,
    /// The leader is killed and started again at once, within its lease.
    BounceLeader,
    /// A process is stopped in its tracks.
    Pause,
    /// A node is cut off from the others.
    Cut,
    /// Between a node and the others messages pass one way only.
    OneWay,
    /// Two nodes don't reach each other, though all others reach both.
    Bridge,
    /// A node is started while it is cut off.
    StartAlone,
    /// A wall clock jumps.
    Clock,
    /// A disk is full.
    FullDisk,
    /// A disk fails.
    FailingDisk,
    /// One machine loses power.
    PowerCut,
    /// All lose power at once.
    PowerCutOfAll,
    /// A machine is lost with its disk, and another takes its place.
    Replacement,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 13] = [
        Self::Kill,
        Self::BounceLeader,
        Self::Pause,
        Self::Cut,
        Self::OneWay,
        Self::Bridge,
        Self::StartAlone,
        Self::Clock,
        Self::FullDisk,
        Self::FailingDisk,
        Self::PowerCut,
        Self::PowerCutOfAll,
        Self::Replacement,
    ];
}

/// Faults to draw from; each comes once before one comes twice.
#[derive(Debug)]
pub(crate) struct Deck {
    kinds: Vec<Fault>,
    left: Vec<Fault>,
}

impl Deck {
    /// A deck of these kinds.
    pub(crate) fn of(kinds: &[Fault]) -> Self {
        Self { kinds: kinds.to_vec(), left: Vec::new() }
    }

    /// The next one.
    pub(crate) fn draw(&mut self, dice: &Dice) -> Fault {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
        }
        let last = self.left.len().saturating_sub(1);
        let at = usize::try_from(dice.between(0, u64::try_from(last).unwrap_or(0))).unwrap_or(0);
        self.left.swap_remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::{Deck, Dice, Fault};

    #[test]
    fn each_kind_comes_once_before_one_comes_twice() {
        let (mut deck, dice) = (Deck::of(&Fault::ALL), Dice::new(7));
        for _ in 0..3 {
            let mut drawn: Vec<Fault> = (0..Fault::ALL.len()).map(|_| deck.draw(&dice)).collect();
            drawn.sort_unstable();
            assert_eq!(drawn, Fault::ALL);
        }
    }
}
