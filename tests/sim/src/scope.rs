//! A node as the runtime sees it: its tasks, its clocks, and whether it lives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use circlet_raft::{Clocks, NodeId};

use crate::clock::Clock;
use crate::floor::Floor;
use crate::history::History;
use crate::runtime;
use crate::sealing::Ring;
use crate::version;

thread_local! {
    static HERE: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// The scope that is being polled, if any.
pub fn current() -> Option<Arc<Scope>> {
    HERE.with_borrow(Clone::clone)
}

/// Runs `work` outside of every scope: what it spawns belongs to no node.
pub fn outside<T>(work: impl FnOnce() -> T) -> T {
    let _outside = Inside::enter(None);
    work()
}

/// Enters a scope until dropped.
struct Inside(Option<Arc<Scope>>);

impl Inside {
    fn enter(scope: Option<Arc<Scope>>) -> Self {
        Self(HERE.replace(scope))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        HERE.set(self.0.take());
    }
}

/// One life of a node, from a start to a crash.
#[derive(Debug)]
pub struct Scope {
    node: NodeId,
    clock: Arc<Mutex<Clock>>,
    history: Arc<History>,
    ring: Ring,
    applied: AtomicBool,
    floor: OnceLock<Floor>,
    version: AtomicU32,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    dead: bool,
    frozen: bool,
    waiting: Vec<Waker>,
    next: u64,
    tasks: BTreeMap<u64, Arc<dyn Discard>>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life")
            .field("dead", &self.dead)
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl Scope {
    /// A new life of `node`, whose clock goes on through its crashes.
    #[must_use]
    pub fn new(node: NodeId, clock: Arc<Mutex<Clock>>, history: Arc<History>) -> Arc<Self> {
        Arc::new(Self {
            node,
            clock,
            history,
            ring: Ring::default(),
            floor: OnceLock::new(),
            version: AtomicU32::new(version::next()),
            applied: AtomicBool::new(false),
            life: Mutex::default(),
        })
    }

    /// What happens is told here.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The keys that the node has in memory.
    #[must_use]
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// How far the node's floor has come; it has none unless it [stands on](Self::stands_on) one.
    #[must_use]
    pub fn floor(&self) -> Floor {
        self.floor.get_or_init(Floor::default).clone()
    }

    /// The node has a floor, said before anybody asks for it.
    pub fn stands_on(&self, floor: Floor) {
        self.floor.get_or_init(|| floor);
    }

    /// The node is this version of the program, said before it does anything.
    pub fn runs(&self, version: u32) {
        self.version.store(version, Ordering::SeqCst);
    }

    /// Which version of the program the node is.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::SeqCst)
    }

    /// Whose life it is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The node has applied something, or taken up what it had applied before.
    pub fn note_applied(&self) {
        self.applied.store(true, Ordering::SeqCst);
    }

    /// Whether it has.
    #[must_use]
    pub fn has_applied(&self) -> bool {
        self.applied.load(Ordering::SeqCst)
    }

    /// Whether the node runs; a frozen one does.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !lock(&self.life).dead
    }

    /// Whether the node runs and is being polled.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        let life = lock(&self.life);
        !life.dead && !life.frozen
    }

    /// Runs `work` as if the node did it: what it spawns belongs to the node.
    pub fn enter<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        let _inside = Inside::enter(Some(Arc::clone(self)));
        work()
    }

    /// Stops polling the node's tasks.
    pub fn freeze(&self) {
        lock(&self.life).frozen = true;
    }

    /// Polls them again; whatever happened meanwhile is found at once.
    pub fn thaw(&self) {
        let waiting = {
            let mut life = lock(&self.life);
            life.frozen = false;
            std::mem::take(&mut life.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ends this life: its tasks are dropped where they stand.
    pub fn kill(self: &Arc<Self>) {
        let tasks = {
            let mut life = lock(&self.life);
            life.dead = true;
            life.waiting.clear();
            std::mem::take(&mut life.tasks)
        };
        let _inside = Inside::enter(Some(Arc::clone(self)));
        for task in tasks.values() {
            task.discard();
        }
    }

    pub(crate) fn monotonic(&self, global: u64) -> u64 {
        lock(&self.clock).monotonic(global)
    }

    pub(crate) fn global_until(&self, global: u64, monotonic: u64) -> u64 {
        lock(&self.clock).global_until(global, monotonic)
    }
}

impl Clocks for Scope {
    fn boot_ms(&self) -> u64 {
        lock(&self.clock).boot_ms(runtime::global_nanos())
    }

    fn wall_ms(&self) -> u64 {
        lock(&self.clock).wall_ms(runtime::global_nanos())
    }
}

trait Discard: Send + Sync {
    fn discard(&self);
}

struct Slot<F> {
    future: Mutex<Option<Pin<Box<F>>>>,
    waker: Mutex<Option<Waker>>,
}

impl<F: Send> Discard for Slot<F> {
    fn discard(&self) {
        let future = lock(&self.future).take();
        drop(future);
        if let Some(waker) = lock(&self.waker).take() {
            waker.wake();
        }
    }
}

/// A task of a scope; resolves to nothing when the scope dies first.
pub(crate) struct Task<F> {
    scope: Option<Arc<Scope>>,
    number: u64,
    slot: Arc<Slot<F>>,
}

impl<F: Future + Send + 'static> Task<F> {
    pub(crate) fn new(scope: Option<Arc<Scope>>, future: F) -> Self {
        let slot = Arc::new(Slot { future: Mutex::new(Some(Box::pin(future))), waker: Mutex::default() });
        let mut number = 0;
        if let Some(scope) = &scope {
            let mut life = lock(&scope.life);
            if life.dead {
                drop(life);
                slot.discard();
            } else {
                number = life.next;
                life.next += 1;
                life.tasks.insert(number, Arc::clone(&slot) as Arc<dyn Discard>);
            }
        }
        Self { scope, number, slot }
    }

    /// Whether the task must wait, because its node is frozen.
    fn holds(&self, cx: &Context<'_>) -> bool {
        let Some(scope) = &self.scope else { return false };
        let mut life = lock(&scope.life);
        if life.frozen && !life.dead {
            life.waiting.push(cx.waker().clone());
            return true;
        }
        false
    }

    fn done(&self) {
        if let Some(scope) = &self.scope {
            let task = lock(&scope.life).tasks.remove(&self.number);
            drop(task);
        }
    }
}

/// The runtime lets go of its tasks when it ends, and a scope that was not killed would hold on to them, as they do to it.
impl<F> Drop for Task<F> {
    fn drop(&mut self) {
        let _inside = Inside::enter(self.scope.take());
        drop(lock(&self.slot.future).take());
    }
}

impl<F: Future + Send + 'static> Future for Task<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        // Before anything else: a node may die while it is frozen, and whoever waits for its tasks must hear of it.
        *lock(&this.slot.waker) = Some(cx.waker().clone());
        if this.holds(cx) || !runtime::spend() {
            return Poll::Pending;
        }
        let _inside = Inside::enter(this.scope.clone());
        let mut slot = lock(&this.slot.future);
        let Some(future) = slot.as_mut() else { return Poll::Ready(None) };
        let polled = future.as_mut().poll(cx);
        if polled.is_ready() {
            let future = slot.take();
            drop(slot);
            drop(future);
            this.done();
        }
        polled.map(Some)
    }
}

pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use openraft_rt::AsyncRuntime;

    use super::*;
    use crate::plant::Plant;
    use crate::runtime::NodeRuntime;

    #[test]
    fn who_waits_for_a_task_of_a_frozen_node_hears_when_the_node_dies() {
        let mut runtime = NodeRuntime::with_seed(1);
        let ended = runtime.block_on(async {
            let clock = Arc::new(Mutex::new(Clock::new(1_000_000, 0)));
            let scope = Scope::new(1, clock, Arc::new(History::new(Plant::None, None, false)));
            scope.freeze();
            let task = scope.enter(|| NodeRuntime::spawn(async {}));
            NodeRuntime::sleep(Duration::from_millis(1)).await;
            scope.kill();
            NodeRuntime::timeout(Duration::from_mins(1), task).await
        });
        assert!(matches!(ended, Ok(Err(_))), "it ended, and with nothing");
    }
}
