//! Work that would hold up the runtime: restoring and writing snapshots.

use std::io;

use futures::channel::oneshot;

/// Runs what blocks, elsewhere. A simulator runs it on the spot.
pub trait Blocking: Send + Sync + 'static {
    /// Starts `job`; `name` is for people who look at threads.
    fn run(&self, name: &'static str, job: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// A thread per job: snapshots are few, and they must not queue behind each other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Blocking for Threads {
    fn run(&self, name: &'static str, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new().name(name.into()).spawn(job).map(drop)
    }
}

/// Runs `job` elsewhere and waits for its result; a panic in it is an error here.
pub async fn unblock<T: Send + 'static>(
    blocking: &dyn Blocking,
    name: &'static str,
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = oneshot::channel();
    blocking.run(name, Box::new(move || drop(sender.send(job()))))?;
    receiver.await.unwrap_or_else(|_| Err(io::Error::other(format!("{name} panicked"))))
}
