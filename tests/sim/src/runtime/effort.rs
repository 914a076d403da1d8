//! How much work one run may be. One that never ends proves nothing, and holds up a search.

use std::cell::Cell;

/// So many polls of tasks and events at most. A run takes some hundred thousand.
const POLLS_MAX: u64 = 20_000_000;

thread_local! {
    /// Polls and events that are left; a run stays on its thread.
    static LEFT: Cell<u64> = const { Cell::new(POLLS_MAX) };
}

/// A run begins on this thread.
pub(super) fn begin() {
    LEFT.set(POLLS_MAX);
}

/// One more poll, or event. False if there were too many: from then on nothing is done any more, so that the run comes to its end.
pub(crate) fn spend() -> bool {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(1));
    left > 0
}

/// What is said of a run that was too much work.
#[must_use]
pub fn exhausted() -> Option<String> {
    (LEFT.get() == 0).then(|| format!("there is no end after {POLLS_MAX} polls and events"))
}
