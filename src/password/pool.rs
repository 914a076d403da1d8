//! A few threads behind a bounded queue of which strangers get half, and beside which revokes have one of their own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Busy;

type Job = Box<dyn FnOnce() + Send>;

/// Who asks for the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Someone who was right not long ago.
    Known,
    /// Anyone else.
    Stranger,
    /// Whoever revokes. Each address brings one at a time, and each waits for it before it brings the next.
    Revoke,
}

/// How many kinds of askers there are.
const KINDS: usize = 3;

pub(super) struct Pool {
    shared: Arc<Shared>,
    jobs_max: usize,
}

struct Shared {
    queues: Mutex<Queues>,
    arrived: Condvar,
}

#[derive(Default)]
struct Queues {
    /// In the order of [`Priority`].
    waiting: [VecDeque<Job>; KINDS],
    /// Whose turn it is: no kind comes twice in a row while another waits.
    next: usize,
    closed: bool,
}

impl Queues {
    fn take(&mut self) -> Option<Job> {
        let kinds = (0..KINDS).map(|step| (self.next + step) % KINDS);
        let kind = kinds.into_iter().find(|kind| !self.waiting[*kind].is_empty())?;
        self.next = (kind + 1) % KINDS;
        self.waiting[kind].pop_front()
    }
}

impl Pool {
    pub(super) fn start(threads: usize, jobs_max: usize) -> Self {
        let shared = Arc::new(Shared { queues: Mutex::new(Queues::default()), arrived: Condvar::new() });
        for number in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || work(&shared))
                .expect("the system gives a process its first few threads");
        }
        Self { shared, jobs_max }
    }

    /// Runs `job` on one of the threads, or refuses at once if the asker's part of the queue is full.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        priority: Priority,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(priority, Box::new(move || drop(answer.send(job()))))?;
        // A job that panicked was not done.
        answered.await.map_err(|_| Busy)
    }

    /// How many jobs wait, in the order of [`Priority`].
    pub(super) fn waiting(&self) -> [usize; KINDS] {
        lock(&self.shared.queues).waiting.each_ref().map(VecDeque::len)
    }

    fn enqueue(&self, priority: Priority, job: Job) -> Result<(), Busy> {
        let mut queues = lock(&self.shared.queues);
        let [known, strangers, _] = queues.waiting.each_ref().map(VecDeque::len);
        let has_room = match priority {
            Priority::Known => known + strangers < self.jobs_max,
            Priority::Stranger => strangers < self.jobs_max / 2,
            Priority::Revoke => true,
        };
        if !has_room {
            return Err(Busy);
        }
        queues.waiting[priority as usize].push_back(job);
        drop(queues);
        self.shared.arrived.notify_one();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.queues).closed = true;
        self.shared.arrived.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut queues = lock(&shared.queues);
    loop {
        if let Some(job) = queues.take() {
            drop(queues);
            // A panic drops the job's answer, which its asker sees; the thread stays for the others.
            let _ = catch_unwind(AssertUnwindSafe(job));
            queues = lock(&shared.queues);
        } else if queues.closed {
            return;
        } else {
            queues = shared.arrived.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn lock(queues: &Mutex<Queues>) -> MutexGuard<'_, Queues> {
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Pool, Priority, Queues};
    use std::sync::mpsc;

    #[tokio::test]
    async fn strangers_fill_half_of_the_queue_and_no_more() {
        let pool = Pool::start(1, 4);
        let (release, held) = mpsc::channel::<()>();
        let (started, running) = mpsc::channel::<()>();
        pool.enqueue(
            Priority::Known,
            Box::new(move || {
                started.send(()).unwrap();
                held.recv().unwrap();
            }),
        )
        .unwrap();
        running.recv().unwrap();
        assert!(pool.enqueue(Priority::Stranger, Box::new(|| ())).is_ok());
        assert!(pool.enqueue(Priority::Stranger, Box::new(|| ())).is_ok());
        assert!(pool.enqueue(Priority::Stranger, Box::new(|| ())).is_err());
        assert!(pool.enqueue(Priority::Known, Box::new(|| ())).is_ok());
        assert!(pool.enqueue(Priority::Known, Box::new(|| ())).is_ok());
        assert!(pool.enqueue(Priority::Known, Box::new(|| ())).is_err());
        for _ in 0..40 {
            assert!(pool.enqueue(Priority::Revoke, Box::new(|| ())).is_ok(), "a revoke is not refused");
        }
        assert_eq!(pool.waiting(), [2, 2, 40]);
        release.send(()).unwrap();
        // Whoever asks once there is room is served.
        while pool.run(Priority::Known, || 7).await != Ok(7) {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn no_kind_comes_twice_in_a_row_while_another_waits() {
        let mut queues = Queues::default();
        let (tell, told) = mpsc::channel();
        for (kind, count) in [(Priority::Known, 4), (Priority::Stranger, 2), (Priority::Revoke, 3)] {
            for _ in 0..count {
                let tell = tell.clone();
                queues.waiting[kind as usize].push_back(Box::new(move || tell.send(kind).unwrap()));
            }
        }
        while let Some(job) = queues.take() {
            job();
        }
        drop(tell);
        let (known, stranger, revoke) = (Priority::Known, Priority::Stranger, Priority::Revoke);
        let expected = [known, stranger, revoke, known, stranger, revoke, known, revoke, known];
        assert_eq!(told.iter().collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_no_thread_with_it() {
        let pool = Pool::start(1, 4);
        assert!(pool.run(Priority::Known, || panic!("on purpose")).await.is_err());
        assert_eq!(pool.run(Priority::Known, || 7).await, Ok(7));
    }
}
