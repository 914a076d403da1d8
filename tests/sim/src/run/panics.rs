//! Panics of whatever a run does. A task that panics ends as if its node had died, and nobody hears why.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// The first one since the run began; a run stays on its thread.
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// A run begins on this thread.
pub(super) fn begin() {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let what = panic.to_string().replace('\n', " ");
            FIRST.with_borrow_mut(|first| {
                first.get_or_insert(what);
            });
            usual(panic);
        }));
    });
    FIRST.set(None);
}

/// The first panic of the run.
pub(super) fn first() -> Option<String> {
    FIRST.with_borrow(Clone::clone)
}
