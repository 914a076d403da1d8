//! Questions with answers: many at a time over one connection per peer, matched by number.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use openraft::AsyncRuntime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::network::wire::{Ask, Numbered, Said, decode, encode};
use crate::network::{Channel, Dial, FrameSink, FrameStream, Lane, detach};
use crate::types::{NodeId, Peer};

/// Frames that wait for the connection to take them.
pub(crate) const QUEUE_FRAMES_MAX: usize = 256;

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// The question never left.
    NotSent(String),
    /// It left, and perhaps arrived.
    Lost(String),
}

/// The connections for questions, one per peer.
pub(crate) struct Calls<R: AsyncRuntime> {
    dial: Arc<dyn Dial>,
    dial_timeout: Duration,
    peers: Mutex<BTreeMap<NodeId, Arc<Slot<R>>>>,
}

/// The connection to one peer; the lock is held while dialling, so that callers share one.
type Slot<R> = tokio::sync::Mutex<Option<Arc<Line<R>>>>;

struct Line<R: AsyncRuntime> {
    /// The key and address it was opened for.
    peer: Peer,
    tx: mpsc::Sender<Bytes>,
    waiting: Waiting<R>,
    broken: CancellationToken,
    runtime: PhantomData<fn() -> R>,
}

struct Board<R: AsyncRuntime> {
    next: u64,
    askers: BTreeMap<u64, oneshot::Sender<Said<R>>>,
}

type Waiting<R> = Arc<Mutex<Board<R>>>;

impl<R: AsyncRuntime> Calls<R> {
    pub(crate) fn new(dial: Arc<dyn Dial>, dial_timeout: Duration) -> Self {
        Self { dial, dial_timeout, peers: Mutex::new(BTreeMap::new()) }
    }

    /// Asks and waits for the answer for at most `ttl`; a connection that doesn't answer in time is dropped.
    pub(crate) async fn call(
        &self,
        target: NodeId,
        peer: &Peer,
        ask: Ask<R>,
        ttl: Duration,
    ) -> Result<Said<R>, CallError> {
        let sent = AtomicBool::new(false);
        match R::timeout(ttl, self.exchange(target, peer, ask, &sent)).await {
            Ok(result) => result,
            Err(_) if sent.load(Ordering::Relaxed) => {
                self.drop_line(target).await;
                Err(CallError::Lost(format!("no answer within {} ms", ttl.as_millis())))
            }
            Err(_) => Err(CallError::NotSent(format!("no connection within {} ms", ttl.as_millis()))),
        }
    }

    /// Closes every connection.
    pub(crate) fn close(&self) {
        let peers = std::mem::take(&mut *self.peers.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in peers.values() {
            if let Ok(mut slot) = slot.try_lock()
                && let Some(line) = slot.take()
            {
                line.broken.cancel();
            }
        }
    }

    async fn exchange(
        &self,
        target: NodeId,
        peer: &Peer,
        ask: Ask<R>,
        sent: &AtomicBool,
    ) -> Result<Said<R>, CallError> {
        let line = self.line(target, peer).await.map_err(CallError::NotSent)?;
        let (tx, rx) = oneshot::channel();
        let number = {
            let mut waiting = line.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next += 1;
            let number = waiting.next;
            waiting.askers.insert(number, tx);
            number
        };
        let asker = Asker { waiting: Arc::clone(&line.waiting), number };
        let frame = encode(&Numbered { number, body: ask }).map_err(|e| CallError::NotSent(e.to_string()))?;
        let room =
            line.tx.reserve().await.map_err(|_| CallError::NotSent("the connection broke".to_owned()))?;
        sent.store(true, Ordering::Relaxed);
        room.send(frame);
        let answer = match R::select2(rx, line.broken.cancelled()).await {
            openraft_rt::Select2::First(Ok(said)) => Ok(said),
            _ => Err(CallError::Lost("the connection broke before the answer".to_owned())),
        };
        drop(asker);
        answer
    }

    async fn line(&self, target: NodeId, peer: &Peer) -> Result<Arc<Line<R>>, String> {
        let slot = {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(peers.entry(target).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(line) = &*slot
            && !line.broken.is_cancelled()
            && line.peer == *peer
        {
            return Ok(Arc::clone(line));
        }
        let dialling = self.dial.dial(target, peer, Lane::Calls);
        let channel = match R::timeout(self.dial_timeout, dialling).await {
            Ok(result) => result?,
            Err(_) => return Err("dialling took too long".to_owned()),
        };
        let line = Arc::new(Line::start(peer.clone(), channel));
        *slot = Some(Arc::clone(&line));
        Ok(line)
    }

    async fn drop_line(&self, target: NodeId) {
        let slot = {
            let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.get(&target).cloned()
        };
        if let Some(slot) = slot
            && let Some(line) = slot.lock().await.take()
        {
            line.broken.cancel();
        }
    }
}

/// Forgets the question when its asker is gone, whether answered or not.
struct Asker<R: AsyncRuntime> {
    waiting: Waiting<R>,
    number: u64,
}

impl<R: AsyncRuntime> Drop for Asker<R> {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).askers.remove(&self.number);
    }
}

impl<R: AsyncRuntime> Line<R> {
    fn start(peer: Peer, channel: Channel) -> Self {
        let (tx, queue) = mpsc::channel(QUEUE_FRAMES_MAX);
        let waiting = Arc::new(Mutex::new(Board { next: 0, askers: BTreeMap::new() }));
        let broken = CancellationToken::new();
        let outgoing = write_frames(channel.tx, queue);
        let incoming = read_answers::<R>(channel.rx, Arc::clone(&waiting));
        let token = broken.clone();
        detach::<R>(async move {
            let _ = R::select3(token.cancelled(), incoming, outgoing).await;
            token.cancel();
        });
        Self { peer, tx, waiting, broken, runtime: PhantomData }
    }
}

impl<R: AsyncRuntime> Drop for Line<R> {
    fn drop(&mut self) {
        self.broken.cancel();
    }
}

/// Writes what is queued, flushing once for all that is there.
pub(crate) async fn write_frames(mut sink: FrameSink, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(frame) = queue.recv().await {
        let mut next = Some(frame);
        while let Some(frame) = next {
            if sink.feed(frame).await.is_err() {
                return;
            }
            next = queue.try_recv().ok();
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

async fn read_answers<R: AsyncRuntime>(mut stream: FrameStream, waiting: Waiting<R>) {
    while let Some(Ok(frame)) = stream.next().await {
        let Ok(answer) = decode::<Numbered<Said<R>>>(&frame) else { return };
        let asker = waiting.lock().unwrap_or_else(PoisonError::into_inner).askers.remove(&answer.number);
        if let Some(asker) = asker {
            // The asker may have given up meanwhile.
            let _ = asker.send(answer.body);
        }
    }
}
