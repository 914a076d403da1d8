//! What asks a node to stop.

use std::time::Duration;

use rustix::process::getppid;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeError;

/// How often a node that dies with its parent looks whether it still has it.
const PARENT_INTERVAL: Duration = Duration::from_millis(250);

/// The signals that end a server.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, ServeError> {
        let listen =
            |kind| signal(kind).map_err(|source| ServeError::System { doing: "listen for signals", source });
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// The name of the first one that arrives.
    pub(super) async fn any(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Resolves when the process `parent` is no longer ours; never without one.
pub(super) async fn orphaned(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    let is_ours = || getppid().is_some_and(|own| u32::try_from(own.as_raw_nonzero().get()) == Ok(parent));
    while is_ours() {
        tokio::time::sleep(PARENT_INTERVAL).await;
    }
}
