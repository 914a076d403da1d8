//! How openraft reaches the peers: frames over whatever [`Dial`] connects, each kind of traffic on a connection of
//! its own, every wait with a deadline.
//!
//! ```text
//! append     entries, streamed and pipelined          network/append.rs
//! heartbeat  the same frames, never behind entries
//! snapshot   a file in chunks                         network/snapshot.rs
//! calls      votes, read indexes, forwarded commands  network/calls.rs
//! succession a later generation goes on               network/succession.rs
//! roster     whom a log names as members              network/roster.rs
//! ```
//!
//! Nothing here knows sockets or TLS; a simulated network is one more [`Dial`].

pub(crate) mod acknowledged;
pub(crate) mod addresses;
pub(crate) mod append;
pub(crate) mod calls;
pub(crate) mod dismissal;
pub(crate) mod roster;
pub(crate) mod serve;
pub(crate) mod snapshot;
pub mod succession;
pub(crate) mod wire;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Sink, Stream};
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::base::BoxStream;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime, OptionalSend};
use serde::{Deserialize, Serialize};
use tokio_util::bytes::{Bytes, BytesMut};

use crate::failure::DialError;
use crate::network::acknowledged::Acknowledged;
use crate::network::append::Line;
use crate::network::calls::{CallError, Calls};
use crate::network::wire::{Ask, Said};
use crate::settings::Settings;
use crate::snapshot_file::SnapshotFile;
use crate::types::{NodeId, Peer, Types};

/// What a connection carries; told in its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lane {
    /// Log entries.
    Append,
    /// Proofs of life, which must never queue behind entries.
    Heartbeat,
    /// One snapshot.
    Snapshot,
    /// Questions with answers, many at a time.
    Calls,
    /// One request of a stranger.
    Join,
    /// The word that the cluster goes on in a later generation. A version that doesn't know it hangs up on it.
    Succession,
    /// Whom the log of the other end names as members. Newer than the one before, and hung up on as well.
    Roster,
}

/// The sending half of a connection.
pub type FrameSink = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send + Sync>>;
/// The receiving half.
pub type FrameStream = Pin<Box<dyn Stream<Item = io::Result<BytesMut>> + Send + Sync>>;

/// A connection to a peer that has proved who it is: ordered frames both ways.
pub struct Channel {
    /// Frames to the peer.
    pub tx: FrameSink,
    /// Frames from it.
    pub rx: FrameStream,
}

/// Opens connections; the seam where a simulated network stands in.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `peer` for one kind of traffic. The caller bounds the time.
    fn dial(&self, target: NodeId, peer: &Peer, lane: Lane)
    -> BoxFuture<'static, Result<Channel, DialError>>;
}

/// A dial under way. Whoever waits for it may give up, and somebody else go on with it.
pub(crate) type Dialling = BoxFuture<'static, Result<Channel, DialError>>;

/// Dials, in time or not at all.
pub(crate) fn dial_in_time<R: AsyncRuntime>(
    dial: &dyn Dial,
    target: NodeId,
    peer: &Peer,
    lane: Lane,
    timeout: Duration,
) -> Dialling {
    let dialling = dial.dial(target, peer, lane);
    Box::pin(async move {
        R::timeout(timeout, dialling).await.unwrap_or_else(|_| Err("dialling took too long".into()))
    })
}

/// Runs a task that nobody waits for; it ends by itself when its connection or its replica does.
pub(crate) fn detach<R: AsyncRuntime>(task: impl Future<Output = ()> + Send + 'static) {
    drop(R::spawn(task));
}

/// Makes openraft's clients.
pub(crate) struct Network<R: AsyncRuntime> {
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) calls: Arc<Calls<R>>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) acknowledged: Arc<Acknowledged<R>>,
}

impl<R: AsyncRuntime> Network<R> {
    fn link(&self, target: NodeId, peer: &Peer, lane: Lane) -> Link<R> {
        Link {
            target,
            peer: peer.clone(),
            calls: Arc::clone(&self.calls),
            settings: Arc::clone(&self.settings),
            line: Line::new(self, target, peer.clone(), lane),
        }
    }
}

impl<R: AsyncRuntime> RaftNetworkFactory<Types<R>> for Network<R> {
    type Network = Link<R>;

    async fn new_client(&mut self, target: NodeId, node: &Peer) -> Link<R> {
        self.link(target, node, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Peer) -> Link<R> {
        self.link(target, node, Lane::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Peer) -> Link<R> {
        self.link(target, node, Lane::Snapshot)
    }
}

/// openraft's client for one peer and one kind of traffic; connects when first used.
pub(crate) struct Link<R: AsyncRuntime> {
    target: NodeId,
    peer: Peer,
    calls: Arc<Calls<R>>,
    settings: Arc<Settings>,
    line: Line<R>,
}

impl<R: AsyncRuntime> Link<R> {
    async fn call(&self, ask: Ask<R>, ttl: Duration) -> Result<Said<R>, RPCError<Types<R>>> {
        match self.calls.call(self.target, &self.peer, ask, ttl).await {
            Ok(Said::Failed(reason)) | Err(CallError::NotSent(reason) | CallError::Lost(reason)) => {
                Err(unreachable_peer(&reason))
            }
            Ok(said) => Ok(said),
        }
    }
}

pub(crate) fn unreachable_peer<R: AsyncRuntime>(reason: &str) -> RPCError<Types<R>> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

fn confused<R: AsyncRuntime>() -> RPCError<Types<R>> {
    RPCError::Network(NetworkError::from_string("the peer answered another question"))
}

impl<R: AsyncRuntime> RaftNetworkV2<Types<R>> for Link<R> {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types<R>>, RPCError<Types<R>>> {
        use futures::StreamExt;
        let once = Box::pin(futures::stream::once(async { rpc }));
        let mut answers = self.line.stream(once, option.hard_ttl());
        match answers.next().await {
            Some(answer) => answer.map(Into::into),
            None => Err(RPCError::Network(NetworkError::from_string("no answer to an append"))),
        }
    }

    fn stream_append<S>(
        &mut self,
        input: S,
        option: RPCOption,
    ) -> openraft::base::BoxFuture<
        '_,
        Result<BoxStream<'_, Result<StreamAppendResult<Types<R>>, RPCError<Types<R>>>>, RPCError<Types<R>>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Types<R>>> + OptionalSend + Unpin + 'static,
    {
        let answers = self.line.stream(input, option.hard_ttl());
        Box::pin(async move { Ok(answers) })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(Ask::Vote(rpc), option.hard_ttl()).await? {
            Said::Vote(response) => Ok(response),
            _ => Err(confused()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(Ask::PreVote(rpc), option.hard_ttl()).await? {
            Said::Vote(response) => Ok(response),
            _ => Err(confused()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types<R>>,
        snapshot: SnapshotOf<Types<R>, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types<R>>, StreamingError<Types<R>>> {
        // The option's deadline is 200 ms for the whole transfer; ours bounds silence.
        let silence = Duration::from_millis(self.settings.snapshot_silence_ms);
        let channel = self.line.connect().await?;
        let sending = snapshot::send::<R>(channel, vote, snapshot, silence);
        match R::select2(cancel, sending).await {
            openraft_rt::Select2::First(closed) => Err(StreamingError::Closed(closed)),
            openraft_rt::Select2::Second(result) => result,
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types<R>>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types<R>>, RPCError<Types<R>>> {
        match self.call(Ask::Transfer(req), option.hard_ttl()).await? {
            Said::Transferred(result) => Ok(result),
            _ => Err(confused()),
        }
    }

    fn backoff(&self) -> Option<openraft::network::Backoff> {
        let first = self.settings.heartbeat_ms.max(1);
        let last = self.settings.election_max_ms.max(first);
        let delays = std::iter::successors(Some(first), move |ms| Some((ms * 2).min(last)));
        Some(openraft::network::Backoff::new(delays.map(Duration::from_millis)))
    }
}
