//! Threads of its own for replication. Those that serve clients may have more to do than they can; heartbeats, votes and
//! proofs of freshness must leave in time all the same, or a cluster under too much load loses its leader again and
//! again, and decides nothing at all.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// Replication waits far more than it works.
const THREADS: usize = 2;

/// What is under way when it ends is waited for, for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A runtime that ends with its owner, wherever that is dropped.
pub(crate) struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(THREADS).thread_name("replication").enable_all().build().map(Some).map(Self)
    }

    /// Runs `work` on these threads. Who stops waiting for it ends it.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let runtime = self.0.as_ref().expect("only dropping takes it");
        AbortOnDropHandle::new(runtime.spawn(work)).await.expect("it runs to its end while its runtime lives")
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        let Some(runtime) = self.0.take() else { return };
        // Whoever opens the same folder next wants nobody left who writes into it. On the threads of another runtime nobody
        // may wait for that.
        if Handle::try_current().is_err() {
            runtime.shutdown_timeout(PATIENCE);
        } else {
            runtime.shutdown_background();
        }
    }
}
