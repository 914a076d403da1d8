//! Kinds of things to do, in an order that chance decides.

use circlet_sim::dice::Dice;

/// Kinds to draw from; each comes once before one comes twice.
#[derive(Debug)]
pub(crate) struct Deck<T> {
    kinds: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    /// A deck of these kinds; of none nothing can be drawn.
    pub(crate) fn of(kinds: &[T]) -> Self {
        Self { kinds: kinds.to_vec(), left: Vec::new() }
    }

    /// Whether there is nothing to draw.
    pub(crate) fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The next one.
    pub(crate) fn draw(&mut self, dice: &Dice) -> T {
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
    use super::{Deck, Dice};
    use crate::chaos::Fault;

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
