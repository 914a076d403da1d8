//! Tells the process supervisor how far the node is (systemd's `Type=notify`); without one it tells nobody.
//!
//! Started means that clients are served, not that the view is fresh: the nodes of a cluster that starts anew wait for each
//! other, and a supervisor that started them one after the other would wait for ever.

use sd_notify::NotifyState;

/// Clients are served. Whether the node is ready for revocable tokens is told by its status line, and by `/readyz`.
pub(super) fn started() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving; its view is not proven fresh yet")]);
}

/// The view has been proved fresh.
pub(super) fn ready() {
    tell(&[NotifyState::Status("serving")]);
}

/// No new requests; those under way are ended.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping: ends what is under way")]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the process supervisor could not be told how far the node is");
    }
}
