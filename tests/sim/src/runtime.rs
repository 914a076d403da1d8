//! The runtime of the simulator: openraft's deterministic one, and in it a scope per node.
//!
//! Every task belongs to the scope in which it was spawned. The scope is entered at each poll, so that code of a node
//! finds the node's own clock; a frozen scope is not polled, and a dead one has lost its tasks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_sim::{SimJoinError, SimJoinHandle, SimRuntime, SimSleep};

use crate::scope::{self, Scope, Task};

mod effort;
mod instant;

pub use effort::exhausted;
pub(crate) use effort::spend;
pub use instant::NodeInstant;
pub(crate) use instant::global_nanos;

/// [`SimRuntime`] with a scope per node.
pub struct NodeRuntime(SimRuntime);

impl NodeRuntime {
    /// A runtime whose randomness derives from `seed`.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        effort::begin();
        Self(SimRuntime::with_seed(seed))
    }

    /// Records every poll, wake and timer from now on.
    pub fn record_trace(&mut self) {
        self.0.record_trace(true);
    }

    /// What was recorded.
    #[must_use]
    pub fn take_trace(&self) -> Vec<String> {
        self.0.take_trace()
    }
}

impl fmt::Debug for NodeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeRuntime")
    }
}

/// The deadline passed first.
#[derive(Clone, Copy, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

/// Sleeps by the clock of the scope that it was made in, whatever that clock does meanwhile.
#[derive(Debug)]
pub struct NodeSleep {
    deadline: NodeInstant,
    scope: Option<Arc<Scope>>,
    inner: Option<SimSleep>,
}

impl NodeSleep {
    fn until(deadline: NodeInstant) -> Self {
        Self { deadline, scope: scope::current(), inner: None }
    }
}

impl Future for NodeSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let left = instant::left(self.scope.as_deref(), self.deadline);
            if left.is_zero() {
                return Poll::Ready(());
            }
            let inner = self.inner.get_or_insert_with(|| SimRuntime::sleep(left));
            ready!(Pin::new(inner).poll(cx));
            self.inner = None;
        }
    }
}

/// A future with a deadline; the future is asked first.
pub struct NodeTimeout<T> {
    future: Pin<Box<T>>,
    sleep: NodeSleep,
}

impl<T: Future> Future for NodeTimeout<T> {
    type Output = Result<T::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

/// Resolves to the output of a task, or to an error if its node died.
pub struct NodeJoinHandle<T>(SimJoinHandle<Option<T>>);

impl<T> Future for NodeJoinHandle<T> {
    type Output = Result<T, SimJoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(joined.and_then(|output| output.ok_or(SimJoinError::Cancelled)))
    }
}

impl AsyncRuntime for NodeRuntime {
    type JoinError = SimJoinError;
    type JoinHandle<T: OptionalSend + 'static> = NodeJoinHandle<T>;
    type Sleep = NodeSleep;
    type Instant = NodeInstant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = NodeTimeout<T>;
    type ThreadLocalRng = <SimRuntime as AsyncRuntime>::ThreadLocalRng;

    fn spawn<T>(future: T) -> NodeJoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        NodeJoinHandle(SimRuntime::spawn(Task::new(scope::current(), future)))
    }

    fn sleep(duration: Duration) -> NodeSleep {
        NodeSleep::until(instant::now() + duration)
    }

    fn sleep_until(deadline: NodeInstant) -> NodeSleep {
        NodeSleep::until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> NodeTimeout<F> {
        NodeTimeout { future: Box::pin(future), sleep: Self::sleep(duration) }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: NodeInstant,
        future: F,
    ) -> NodeTimeout<F> {
        NodeTimeout { future: Box::pin(future), sleep: Self::sleep_until(deadline) }
    }

    fn is_panic(join_error: &SimJoinError) -> bool {
        matches!(join_error, SimJoinError::Panic(_))
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SimRuntime::thread_rng()
    }

    type Mpsc = <SimRuntime as AsyncRuntime>::Mpsc;
    type Watch = <SimRuntime as AsyncRuntime>::Watch;
    type Oneshot = <SimRuntime as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <SimRuntime as AsyncRuntime>::Mutex<T>;

    fn new(threads: usize) -> Self {
        Self(SimRuntime::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}
