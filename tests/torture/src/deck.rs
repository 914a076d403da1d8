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

impl<T: Copy + PartialEq> Deck<T> {
    /// What was drawn could not be done now. It comes again; and others before, if nothing else was left.
    pub(crate) fn put_back(&mut self, kind: T) {
        if self.left.iter().all(|left| *left == kind) {
            self.left.clone_from(&self.kinds);
        } else {
            self.left.push(kind);
        }
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

    #[test]
    fn what_was_put_back_comes_again_and_keeps_nothing_else_from_coming() {
        let (mut deck, dice) = (Deck::of(&Fault::ALL), Dice::new(7));
        let (mut tried, mut others) = (0, 0);
        for _ in 0..Fault::ALL.len() * 8 {
            // It can never be done, for all that is left.
            match deck.draw(&dice) {
                Fault::Join => {
                    tried += 1;
                    deck.put_back(Fault::Join);
                }
                _ => others += 1,
            }
        }
        assert!(tried > 8, "tried {tried} times");
        assert!(others > Fault::ALL.len() * 2, "{others} others");
    }
}
