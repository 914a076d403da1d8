//! The files of the home that an operator changes while the node runs: what those who keep them share with those who
//! answer requests.

mod look;
mod problems;

use std::path::Path;
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

pub(crate) use look::Look;
pub(crate) use problems::Problems;

/// One node's watched files.
#[derive(Default)]
pub(crate) struct Watched {
    /// One more look into the trusted directory, before a key counts as unknown.
    pub(crate) trusted: Look,
    /// What an operator has to look at.
    pub(crate) problems: Problems,
}

/// Wakes `changed` when something in the directory changes. `None` where the system can't watch it, and polling must do;
/// otherwise it lasts as long as what is returned.
pub(crate) fn watch(directory: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let wake = Arc::clone(changed);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading is an event too, and would wake the reader for ever.
        if event.map_or(true, |event| !event.kind.is_access()) {
            wake.notify_one();
        }
    });
    let watching = watcher.and_then(|mut watcher| {
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(
            |error| tracing::info!(%error, directory = %directory.display(), "polled, and not watched"),
        )
        .ok()
}
