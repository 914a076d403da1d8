//! The thread that makes batches durable: one flush and one fdatasync for everything queued meanwhile.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::pulse::Pulse;
use super::{Batch, Change, Done};

/// Changes merged into one write at most; a round's size bounds how long the first in it waits.
const ROUND_CHANGES_MAX: usize = 4_096;
/// How long a batch that nobody waits for may stay in memory.
const LAZY_FLUSH: Duration = Duration::from_millis(100);

/// How often is looked for room on a disk that had none.
pub const ROOM_LOOK: Duration = Duration::from_millis(100);

/// A batch on its way, and whom to tell; nobody if it isn't urgent.
pub(super) struct Work {
    pub(super) batch: Batch,
    pub(super) done: Option<Done>,
}

/// What a flusher writes through; apart from it, so that the order of its calls can be tested.
pub(super) trait Target: Send {
    /// Whether the disk has room for these. A write that fails for want of room ends the store for ever, so it is not
    /// begun.
    fn has_room(&self, changes: &[Change]) -> bool;
    /// Applies changes atomically, not yet durably.
    fn apply(&mut self, changes: Vec<Change>) -> io::Result<()>;
    /// Makes everything applied durable.
    fn make_durable(&mut self) -> io::Result<()>;
}

/// Why writing stopped, for ever; shared with the engine.
#[derive(Clone, Default)]
pub(super) struct Failure(Arc<OnceLock<String>>);

impl Failure {
    pub(super) fn reason(&self) -> Option<String> {
        self.0.get().cloned()
    }

    fn set(&self, error: &io::Error) {
        if self.0.set(error.to_string()).is_ok() {
            tracing::error!(%error, "log storage failed; nothing is written or acknowledged from here on");
        }
    }

    pub(super) fn error(&self) -> Option<io::Error> {
        self.reason().map(|reason| io::Error::other(format!("log storage failed earlier: {reason}")))
    }
}

/// Serves the queue until its senders are gone; then whatever was applied is made durable.
pub(super) fn run(queue: &Receiver<Work>, target: &mut dyn Target, failure: &Failure, pulse: &Pulse) {
    let write = |target: &mut dyn Target, changes: Vec<Change>, waiting: Vec<Done>| {
        wait_for_room(target, failure, pulse, &changes);
        pulse.time(|| write(target, failure, changes, waiting));
    };
    let mut unflushed_since: Option<Instant> = None;
    loop {
        let first = match unflushed_since {
            None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(since) => queue.recv_timeout(LAZY_FLUSH.saturating_sub(since.elapsed())),
        };
        match first {
            Ok(work) => {
                let (changes, waiting) = gather(work, queue, pulse);
                let hurry = !waiting.is_empty();
                write(target, changes, waiting);
                unflushed_since = if hurry { None } else { unflushed_since.or_else(|| Some(Instant::now())) };
            }
            Err(RecvTimeoutError::Timeout) => {
                write(target, Vec::new(), vec![Box::new(|_| ())]);
                unflushed_since = None;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    write(target, Vec::new(), vec![Box::new(|_| ())]);
}

/// Returns when the disk has room, or when there is nobody left to wait for it.
fn wait_for_room(target: &dyn Target, failure: &Failure, pulse: &Pulse, changes: &[Change]) {
    while failure.reason().is_none()
        && !changes.is_empty()
        && !pulse.is_closing()
        && !target.has_room(changes)
    {
        pulse.wait_for_room(true);
        std::thread::sleep(ROOM_LOOK);
    }
    pulse.wait_for_room(false);
}

/// Takes what is queued already, up to a round's limit.
fn gather(first: Work, queue: &Receiver<Work>, pulse: &Pulse) -> (Vec<Change>, Vec<Done>) {
    pulse.taken(1);
    let mut changes = first.batch.into_changes();
    let mut waiting: Vec<Done> = first.done.into_iter().collect();
    while changes.len() < ROUND_CHANGES_MAX {
        let Ok(next) = queue.try_recv() else { break };
        pulse.taken(1);
        changes.append(&mut next.batch.into_changes());
        waiting.extend(next.done);
    }
    (changes, waiting)
}

/// One round: apply, make durable if anyone waits, tell them. A failure is final.
fn write(target: &mut dyn Target, failure: &Failure, changes: Vec<Change>, waiting: Vec<Done>) {
    if failure.reason().is_none() {
        let mut result = if changes.is_empty() { Ok(()) } else { target.apply(changes) };
        if result.is_ok() && !waiting.is_empty() {
            result = target.make_durable();
        }
        if let Err(error) = result {
            failure.set(&error);
        }
    }
    for done in waiting {
        done(failure.error().map_or(Ok(()), Err));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Records calls; the fsync that `fails_at` counts down to fails.
    #[derive(Default)]
    struct Recorder {
        calls: Arc<std::sync::Mutex<Vec<&'static str>>>,
        fails_at: Option<usize>,
        /// Looks for room that find none.
        full_for: std::sync::atomic::AtomicUsize,
    }

    impl Target for Recorder {
        fn has_room(&self, _: &[Change]) -> bool {
            use std::sync::atomic::Ordering::SeqCst;
            self.full_for.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
        }

        fn apply(&mut self, _: Vec<Change>) -> io::Result<()> {
            self.calls.lock().unwrap().push("apply");
            Ok(())
        }

        fn make_durable(&mut self) -> io::Result<()> {
            self.calls.lock().unwrap().push("sync");
            match &mut self.fails_at {
                Some(0) => Err(io::Error::other("no space")),
                Some(left) => {
                    *left -= 1;
                    Ok(())
                }
                None => Ok(()),
            }
        }
    }

    fn one_key() -> Batch {
        let mut batch = Batch::default();
        batch.put(*b"key", vec![1]);
        batch
    }

    /// One that knows of so many batches in the queue.
    fn pulse(queued: usize) -> Pulse {
        let pulse = Pulse::new();
        (0..queued).for_each(|_| pulse.queued());
        pulse
    }

    #[test]
    fn everything_queued_is_served_by_one_sync() {
        let (sender, queue) = mpsc::channel();
        let (acknowledge, acknowledged) = mpsc::channel();
        for _ in 0..10 {
            let acknowledge = acknowledge.clone();
            let done: Done = Box::new(move |result| acknowledge.send(result.is_ok()).unwrap());
            sender.send(Work { batch: one_key(), done: Some(done) }).unwrap();
        }
        drop(sender);
        let mut target = Recorder::default();
        run(&queue, &mut target, &Failure::default(), &pulse(10));
        assert_eq!(acknowledged.try_iter().filter(|ok| *ok).count(), 10);
        // The last sync is the one at the end of the queue.
        assert_eq!(*target.calls.lock().unwrap(), ["apply", "sync", "sync"]);
    }

    #[test]
    fn after_a_failed_sync_nothing_is_tried_again_and_everything_fails() {
        let (sender, queue) = mpsc::channel();
        let (acknowledge, acknowledged) = mpsc::channel();
        let mut target = Recorder { fails_at: Some(0), ..Recorder::default() };
        let calls = Arc::clone(&target.calls);
        let failure = Failure::default();
        let seen = failure.clone();
        let thread = std::thread::spawn(move || run(&queue, &mut target, &failure, &pulse(3)));
        for _ in 0..3 {
            let acknowledge = acknowledge.clone();
            let done: Done = Box::new(move |result| acknowledge.send(result).unwrap());
            sender.send(Work { batch: one_key(), done: Some(done) }).unwrap();
            let error = acknowledged.recv().unwrap().unwrap_err();
            assert!(error.to_string().contains("no space"), "{error}");
        }
        drop(sender);
        thread.join().unwrap();
        assert_eq!(seen.reason().as_deref(), Some("no space"));
        assert_eq!(*calls.lock().unwrap(), ["apply", "sync"]);
    }

    #[test]
    fn a_full_disk_is_waited_for_and_nothing_is_written_or_acknowledged_meanwhile() {
        let (sender, queue) = mpsc::channel();
        let (acknowledge, acknowledged) = mpsc::channel();
        let mut target = Recorder { full_for: 3.into(), ..Recorder::default() };
        let calls = Arc::clone(&target.calls);
        let seen = Arc::clone(&calls);
        let done: Done = Box::new(move |result| {
            acknowledge.send((result.is_ok(), seen.lock().unwrap().clone())).unwrap();
        });
        sender.send(Work { batch: one_key(), done: Some(done) }).unwrap();
        drop(sender);
        run(&queue, &mut target, &Failure::default(), &pulse(1));
        assert_eq!(acknowledged.recv().unwrap(), (true, vec!["apply", "sync"]));
        assert_eq!(target.full_for.into_inner(), 0, "it looked until there was room");
    }

    #[test]
    fn nobody_waits_for_room_while_the_store_is_closed() {
        let (sender, queue) = mpsc::channel();
        sender.send(Work { batch: one_key(), done: None }).unwrap();
        drop(sender);
        let mut target = Recorder { full_for: usize::MAX.into(), ..Recorder::default() };
        let pulse = pulse(1);
        pulse.close();
        run(&queue, &mut target, &Failure::default(), &pulse);
        assert_eq!(*target.calls.lock().unwrap(), ["apply", "sync"], "it is tried, and may fail");
    }

    #[test]
    fn what_nobody_waits_for_becomes_durable_by_itself() {
        let (sender, queue) = mpsc::channel();
        let mut target = Recorder::default();
        let calls = Arc::clone(&target.calls);
        let thread = std::thread::spawn(move || run(&queue, &mut target, &Failure::default(), &pulse(1)));
        sender.send(Work { batch: one_key(), done: None }).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !calls.lock().unwrap().contains(&"sync") {
            assert!(Instant::now() < deadline, "not flushed");
            std::thread::yield_now();
        }
        drop(sender);
        thread.join().unwrap();
    }
}
