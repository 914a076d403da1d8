//! Entries and heartbeats: requests are sent as they come, answers are read as they arrive, in order.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{Stream, StreamExt};
use openraft::AsyncRuntime;
use openraft::EntryPayload;
use openraft::alias::VoteOf;
use openraft::base::BoxStream;
use openraft::entry::RaftEntry;
use openraft::errors::{NetworkError, RPCError};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use tokio_util::bytes::Bytes;

use crate::network::acknowledged::Acknowledged;
use crate::network::wire::{Appended, decode, encode};
use crate::network::{Channel, Dial, Dialling, Lane, Network, dial_in_time, unreachable_peer};
use crate::types::{NodeId, Peer, Types};

/// Requests under way on one connection.
const WINDOW: usize = 32;

/// Entries of one request go out in frames of about this many bytes.
pub(crate) const PART_BYTES: usize = 1 << 20;

type Answer<R> = Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>;

/// A connection with the answers that nobody waits for any more, because the asker gave up first.
struct Open {
    channel: Channel,
    /// Answers to skip before the next one counts.
    owed: usize,
}

/// The connection to one peer for one kind of traffic, opened when needed.
pub(crate) struct Line<R: AsyncRuntime> {
    dial: Arc<dyn Dial>,
    target: NodeId,
    peer: Peer,
    lane: Lane,
    dial_timeout: Duration,
    /// How long an answer may take: longer than a slow fsync, shorter than an election.
    silence: Duration,
    open: Option<Open>,
    /// A dial whose session was given up; the next goes on with it. Heartbeats are given up after 50 ms, and on a busy
    /// machine a handshake takes longer: begun anew each time, it would never end. Never locked: openraft wants its
    /// clients to be `Sync`, and a future is not.
    dialling: tokio::sync::Mutex<Option<Dialling>>,
    acknowledged: Arc<Acknowledged<R>>,
}

impl<R: AsyncRuntime> Line<R> {
    pub(crate) fn new(network: &Network<R>, target: NodeId, peer: Peer, lane: Lane) -> Self {
        Self {
            dial: Arc::clone(&network.dial),
            target,
            peer,
            lane,
            dial_timeout: Duration::from_millis(network.settings.dial_timeout_ms),
            silence: Duration::from_millis(network.settings.election_max_ms),
            open: None,
            dialling: tokio::sync::Mutex::default(),
            acknowledged: Arc::clone(&network.acknowledged),
        }
    }

    /// A new connection, in time or not at all.
    pub(crate) async fn connect(&mut self) -> Result<Channel, RPCError<Types<R>>> {
        if self.acknowledged.is_set_back(self.target) {
            return Err(unreachable_peer("its log went back behind what it had acknowledged"));
        }
        let Self { dial, target, peer, lane, dial_timeout, dialling, .. } = self;
        let begin = || dial_in_time::<R>(dial.as_ref(), *target, peer, *lane, *dial_timeout);
        let dialling = dialling.get_mut();
        let dialled = dialling.get_or_insert_with(begin).await;
        *dialling = None;
        dialled.map_err(|error| unreachable_peer(&error.to_string()))
    }

    /// Sends what `input` yields and gives the answers. Connects only once there is something to send: openraft
    /// waits out its backoff inside the input, so that dialling first would dial a dead peer without pause.
    pub(crate) fn stream<S>(&mut self, mut input: S, ttl: Duration) -> BoxStream<'_, Answer<R>>
    where
        S: Stream<Item = AppendEntriesRequest<Types<R>>> + Send + Unpin + 'static,
    {
        let opening = async move {
            let Some(first) = input.next().await else {
                return futures::stream::empty().boxed();
            };
            let open = match self.open.take() {
                Some(open) => open,
                None => match self.connect().await {
                    Ok(channel) => Open { channel, owed: 0 },
                    Err(error) => return futures::stream::iter([Err(error)]).boxed(),
                },
            };
            let pump = Pump::<R, _> {
                target: self.target,
                vote: first.vote,
                acknowledged: &self.acknowledged,
                slot: &mut self.open,
                open: Some(open),
                input: Some(futures::stream::iter([first]).chain(input)),
                outbox: VecDeque::new(),
                underway: VecDeque::new(),
                flushed: true,
                silence: self.silence.max(ttl),
                progress: false,
                alarm: None,
            };
            pump.boxed()
        };
        futures::stream::once(opening).flatten().boxed()
    }
}

/// One session of requests over a line.
struct Pump<'s, R: AsyncRuntime, S> {
    target: NodeId,
    /// The leadership under which the session sends.
    vote: VoteOf<Types<R>>,
    acknowledged: &'s Acknowledged<R>,
    /// Where the connection goes back to.
    slot: &'s mut Option<Open>,
    open: Option<Open>,
    input: Option<S>,
    /// Encoded frames that the connection hasn't taken yet.
    outbox: VecDeque<Bytes>,
    /// For each request under way, the frames whose answers are outstanding.
    underway: VecDeque<usize>,
    flushed: bool,
    silence: Duration,
    /// An answer came since the alarm was set.
    progress: bool,
    alarm: Option<Pin<Box<R::Sleep>>>,
}

impl<R: AsyncRuntime, S> Pump<'_, R, S>
where
    S: Stream<Item = AppendEntriesRequest<Types<R>>> + Send + Unpin,
{
    /// Takes requests from the input while the window has room.
    fn poll_input(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.underway.len() < WINDOW && self.outbox.is_empty() {
            let Some(input) = &mut self.input else { return Ok(()) };
            match Pin::new(input).poll_next(cx) {
                Poll::Ready(Some(request)) => {
                    let before = self.outbox.len();
                    split(request, &mut self.outbox)?;
                    self.underway.push_back(self.outbox.len() - before);
                    self.poll_outbox(cx)?;
                }
                Poll::Ready(None) => self.input = None,
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }

    /// Gives the connection what it takes; a connection that takes nothing is caught by the alarm.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        while !self.outbox.is_empty() {
            match open.channel.tx.as_mut().poll_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            if let Some(frame) = self.outbox.pop_front() {
                open.channel.tx.as_mut().start_send(frame)?;
                self.flushed = false;
            }
        }
        if !self.flushed && open.channel.tx.as_mut().poll_flush(cx)?.is_ready() {
            self.flushed = true;
        }
        Ok(())
    }

    /// The answer to the oldest request under way.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Appended<R>>> {
        loop {
            let Some(open) = &mut self.open else { return Poll::Pending };
            let closed = || io::Error::from(io::ErrorKind::UnexpectedEof);
            let frame = ready!(open.channel.rx.as_mut().poll_next(cx)).ok_or_else(closed)??;
            self.progress = true;
            let answer: Appended<R> = decode(&frame)?;
            if open.owed > 0 {
                open.owed -= 1;
                continue;
            }
            let Some(parts) = self.underway.front_mut() else {
                return Poll::Ready(Err(io::Error::other("an answer to nothing")));
            };
            *parts -= 1;
            if *parts > 0 && matches!(answer, Appended::Matched(_)) {
                continue;
            }
            return Poll::Ready(Ok(answer));
        }
    }

    /// Fires when nothing came for too long while something was outstanding.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.underway.is_empty() {
            self.alarm = None;
            return Poll::Pending;
        }
        loop {
            let silence = self.silence;
            let alarm = self.alarm.get_or_insert_with(|| {
                self.progress = false;
                Box::pin(R::sleep(silence))
            });
            ready!(alarm.as_mut().poll(cx));
            self.alarm = None;
            if !self.progress {
                return Poll::Ready(());
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<Option<Appended<R>>>> {
        self.poll_outbox(cx)?;
        self.poll_input(cx)?;
        if self.underway.is_empty() && self.input.is_none() {
            return Ok(Poll::Ready(None));
        }
        if !self.underway.is_empty()
            && let Poll::Ready(answer) = self.poll_answer(cx)
        {
            return Ok(Poll::Ready(Some(answer?)));
        }
        if self.poll_alarm(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the peer doesn't answer"));
        }
        Ok(Poll::Pending)
    }
}

impl<R: AsyncRuntime, S> Stream for Pump<'_, R, S>
where
    S: Stream<Item = AppendEntriesRequest<Types<R>>> + Send + Unpin,
{
    type Item = Answer<R>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer<R>>> {
        let this = self.get_mut();
        if this.open.is_none() {
            return Poll::Ready(None);
        }
        let answer = match this.poll_step(cx) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(None)) => return Poll::Ready(None),
            Ok(Poll::Ready(Some(answer))) => answer,
            Err(error) => {
                this.open = None;
                return Poll::Ready(Some(Err(RPCError::Network(NetworkError::new(&error)))));
            }
        };
        Poll::Ready(Some(match answer {
            Appended::Matched(matched) => {
                this.underway.pop_front();
                if let Some(last) = matched {
                    this.acknowledged.note(this.target, this.vote, last);
                }
                Ok(Ok(matched))
            }
            // The peer closes after these: what it had read ahead is lost with the session.
            Appended::Conflict(at) => {
                this.open = None;
                if this.acknowledged.lacks(this.target, &this.vote, &at) {
                    Err(unreachable_peer("its log went back behind what it had acknowledged"))
                } else {
                    Ok(Err(StreamAppendError::Conflict(at)))
                }
            }
            Appended::HigherVote(vote) => {
                this.open = None;
                Ok(Err(StreamAppendError::HigherVote(vote)))
            }
            Appended::Failed(reason) => {
                this.open = None;
                Err(unreachable_peer(&reason))
            }
        }))
    }
}

/// A session that is given up leaves its connection usable: its answers are skipped when they come. One that
/// still owes answers of an earlier session is beyond hope and is dropped.
impl<R: AsyncRuntime, S> Drop for Pump<'_, R, S> {
    fn drop(&mut self) {
        if let Some(mut open) = self.open.take()
            && self.outbox.is_empty()
            && (self.underway.is_empty() || open.owed < WINDOW / 4)
        {
            open.owed += self.underway.iter().sum::<usize>();
            *self.slot = Some(open);
        }
    }
}

/// One request as frames of bounded size: consecutive appends say the same as one.
fn split<R: AsyncRuntime>(
    mut request: AppendEntriesRequest<Types<R>>,
    outbox: &mut VecDeque<Bytes>,
) -> io::Result<()> {
    loop {
        let mut bytes = 0;
        let fits = request.entries.iter().position(|entry| {
            bytes += match &entry.payload {
                EntryPayload::Normal(proposal) => proposal.command.len() + 64,
                _ => 256,
            };
            bytes > PART_BYTES
        });
        let rest = match fits {
            Some(position) if position + 1 < request.entries.len() => request.entries.split_off(position + 1),
            _ => Vec::new(),
        };
        outbox.push_back(encode(&request)?);
        if rest.is_empty() {
            return Ok(());
        }
        request.prev_log_id = request.entries.last().map(RaftEntry::log_id);
        request.entries = rest;
    }
}
