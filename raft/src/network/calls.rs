//! Questions with answers: many at a time over one connection per peer, matched by number.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use openraft::AsyncRuntime;
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::network::wire::{Ask, Numbered, Said, decode, encode};
use crate::network::{Channel, Dial, Dialling, FrameSink, FrameStream, Lane, detach, dial_in_time};
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
type Slot<R> = tokio::sync::Mutex<Way<R>>;

/// The way to one peer.
struct Way<R: AsyncRuntime> {
    line: Option<Arc<Line<R>>>,
    /// A dial that its asker gave up on, and whom it dials. The next asker goes on with it: on a busy machine a
    /// handshake takes longer than a question may wait, and would never end if each asker began anew.
    dialling: Option<(Peer, Dialling)>,
}

impl<R: AsyncRuntime> Default for Way<R> {
    fn default() -> Self {
        Self { line: None, dialling: None }
    }
}

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
    /// Counts the answers that came.
    heard: u64,
    askers: BTreeMap<u64, oneshot::Sender<Said<R>>>,
}

type Waiting<R> = Arc<Mutex<Board<R>>>;

impl<R: AsyncRuntime> Calls<R> {
    pub(crate) fn new(dial: Arc<dyn Dial>, dial_timeout: Duration) -> Self {
        Self { dial, dial_timeout, peers: Mutex::new(BTreeMap::new()) }
    }

    /// Asks and waits for the answer for at most `ttl`. A connection that was silent meanwhile is dropped; one on which
    /// other answers came is only slow, and others wait for theirs.
    pub(crate) async fn call(
        &self,
        target: NodeId,
        peer: &Peer,
        ask: Ask<R>,
        ttl: Duration,
    ) -> Result<Said<R>, CallError> {
        let mut sent = None;
        let answered = R::timeout(ttl, self.exchange(target, peer, ask, &mut sent)).await;
        match (answered, sent) {
            (Ok(result), _) => result,
            (Err(_), Some((line, heard))) => {
                if line.heard() == heard {
                    line.broken.cancel();
                }
                Err(CallError::Lost(format!("no answer within {} ms", ttl.as_millis())))
            }
            (Err(_), None) => Err(CallError::NotSent(format!("no connection within {} ms", ttl.as_millis()))),
        }
    }

    /// Closes every connection.
    pub(crate) fn close(&self) {
        let peers = std::mem::take(&mut *self.peers.lock().unwrap_or_else(PoisonError::into_inner));
        for slot in peers.values() {
            if let Ok(mut way) = slot.try_lock() {
                way.dialling = None;
                if let Some(line) = way.line.take() {
                    line.broken.cancel();
                }
            }
        }
    }

    async fn exchange(
        &self,
        target: NodeId,
        peer: &Peer,
        ask: Ask<R>,
        sent: &mut Option<(Arc<Line<R>>, u64)>,
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
        *sent = Some((Arc::clone(&line), line.heard()));
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
        let mut way = slot.lock().await;
        if let Some(line) = &way.line
            && !line.broken.is_cancelled()
            && line.peer == *peer
        {
            return Ok(Arc::clone(line));
        }
        let Way { line, dialling } = &mut *way;
        if dialling.as_ref().is_some_and(|(dialled, _)| dialled != peer) {
            *dialling = None;
        }
        let begin = || (peer.clone(), self.begin_dialling(target, peer));
        let (_, under_way) = dialling.get_or_insert_with(begin);
        let channel = under_way.await;
        *dialling = None;
        let channel = channel.map_err(|error| error.to_string())?;
        let opened = Arc::new(Line::start(peer.clone(), channel));
        *line = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn begin_dialling(&self, target: NodeId, peer: &Peer) -> Dialling {
        dial_in_time::<R>(self.dial.as_ref(), target, peer, Lane::Calls, self.dial_timeout)
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
        let waiting = Arc::new(Mutex::new(Board { next: 0, heard: 0, askers: BTreeMap::new() }));
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

    /// How many answers have come so far.
    fn heard(&self) -> u64 {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).heard
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
        let asker = {
            let mut board = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            board.heard += 1;
            board.askers.remove(&answer.number)
        };
        if let Some(asker) = asker {
            // The asker may have given up meanwhile.
            let _ = asker.send(answer.body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::channel::mpsc::unbounded;
    use futures::future::BoxFuture;
    use openraft_rt_tokio::TokioRuntime;
    use tokio::sync::Semaphore;
    use tokio_util::bytes::BytesMut;

    use super::*;
    use crate::failure::DialError;
    use crate::network::acknowledged::Standing;

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_mins(1);

    /// A peer that tells its time at once and any read index never.
    struct Peers {
        dialled: AtomicUsize,
        /// A handshake takes one.
        handshakes: Arc<Semaphore>,
        answers: bool,
    }

    impl Dial for Peers {
        fn dial(&self, _: NodeId, _: &Peer, _: Lane) -> BoxFuture<'static, Result<Channel, DialError>> {
            self.dialled.fetch_add(1, Ordering::SeqCst);
            let (handshakes, answers) = (Arc::clone(&self.handshakes), self.answers);
            Box::pin(async move {
                handshakes.acquire_owned().await.map_err(|error| error.to_string())?.forget();
                let (asks, mut asked) = unbounded::<Bytes>();
                let (said, heard) = unbounded::<Bytes>();
                tokio::spawn(async move {
                    while let Some(frame) = asked.next().await {
                        let ask: Numbered<Ask<TokioRuntime>> = decode(&frame).unwrap();
                        let body = Said::<TokioRuntime>::Clock { wall_ms: 7, standing: Standing::default() };
                        // Something is said to everybody, but those who want a read index wait in vain.
                        let number = if matches!(ask.body, Ask::Clock) { ask.number } else { 0 };
                        if answers {
                            said.unbounded_send(encode(&Numbered { number, body }).unwrap()).unwrap();
                        }
                    }
                });
                Ok(Channel {
                    tx: Box::pin(asks.sink_map_err(io::Error::other)),
                    rx: Box::pin(heard.map(|frame| Ok(BytesMut::from(&frame[..])))),
                })
            })
        }
    }

    fn peers(handshakes: usize, answers: bool) -> (Arc<Peers>, Calls<TokioRuntime>, Peer) {
        let handshakes = Arc::new(Semaphore::new(handshakes));
        let peers = Arc::new(Peers { dialled: AtomicUsize::new(0), handshakes, answers });
        let calls = Calls::new(Arc::clone(&peers) as Arc<dyn Dial>, LONG);
        let text = String::new;
        let peer = Peer { name: text(), peer_address: text(), client_url: text(), public_key: [0; 32] };
        (peers, calls, peer)
    }

    #[tokio::test]
    async fn a_handshake_that_takes_longer_than_a_question_waits_is_gone_on_with_by_the_next() {
        let (peers, calls, peer) = peers(0, true);
        for _ in 0..3 {
            let asked = calls.call(2, &peer, Ask::Clock, SOON).await;
            assert!(matches!(asked, Err(CallError::NotSent(_))));
        }
        peers.handshakes.add_permits(1);
        let asked = calls.call(2, &peer, Ask::Clock, LONG).await;
        assert!(matches!(asked, Ok(Said::Clock { wall_ms: 7, .. })));
        assert_eq!(peers.dialled.load(Ordering::SeqCst), 1, "one handshake, not one for each question");
    }

    #[tokio::test]
    async fn a_question_without_an_answer_breaks_no_connection_on_which_others_are_answered() {
        let (peers, calls, peer) = peers(2, true);
        calls.call(2, &peer, Ask::Clock, LONG).await.unwrap();
        let hung = calls.call(2, &peer, Ask::ReadIndex { nonce: 1 }, Duration::from_secs(1)).await;
        assert!(matches!(hung, Err(CallError::Lost(_))));
        calls.call(2, &peer, Ask::Clock, LONG).await.unwrap();
        assert_eq!(peers.dialled.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_silent_connection_is_dropped() {
        let (peers, calls, peer) = peers(2, false);
        for dialled in 1..=2 {
            let asked = calls.call(2, &peer, Ask::Clock, SOON).await;
            assert!(matches!(asked, Err(CallError::Lost(_))));
            assert_eq!(peers.dialled.load(Ordering::SeqCst), dialled);
        }
    }
}
