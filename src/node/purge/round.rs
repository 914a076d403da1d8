//! A leader's round of purging: mark, wait until the margin has passed on its own boot clock, remove. No clock and no
//! node, so that the simulator's leaders do the same.

use circlet_authority::{Outcome, Purge};

/// A mark that this node made while it was the leader.
#[derive(Debug, Clone, Copy)]
struct Mark {
    index: u64,
    at_boot_ms: u64,
}

/// Where a node is in its round.
#[derive(Debug, Default)]
pub struct Round {
    mark: Option<Mark>,
}

impl Round {
    /// What to propose now, if anything. A mark waits for the longer of the margin and `interval_ms`.
    pub fn next(&mut self, leads: bool, margin_ms: u64, interval_ms: u64, boot_ms: u64) -> Option<Purge> {
        if !leads {
            // Whoever leads now makes a mark of its own.
            self.mark = None;
            return None;
        }
        let Some(mark) = self.mark else { return Some(Purge::Mark) };
        let elapsed_ms = boot_ms.saturating_sub(mark.at_boot_ms);
        (elapsed_ms >= margin_ms.max(interval_ms)).then_some(Purge::Remove { mark: mark.index, elapsed_ms })
    }

    /// Takes note of what came of it; `boot_ms` is read after it was decided, so that the margin begins no earlier than
    /// the mark. The mark stays as long as there is more to remove.
    pub fn decided(&mut self, outcome: &Outcome, boot_ms: u64) {
        match outcome {
            Outcome::Marked { mark, .. } => self.mark = Some(Mark { index: *mark, at_boot_ms: boot_ms }),
            Outcome::Purged { more: true, .. } => {}
            _ => self.mark = None,
        }
    }
}
