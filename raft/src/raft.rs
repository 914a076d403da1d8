//! The facade: one node of a replicated machine, on tokio, sled and mutual TLS. Whatever talks with peers runs on
//! threads of its own, whoever asked for it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use openraft_rt_tokio::TokioRuntime;
use tokio::net::TcpListener;

use crate::blocking::{Threads, unblock};
use crate::clock_watch::{Clocks, Instants};
use crate::defects::Defects;
use crate::failure::{Dismissed, MemberError, NotFresh, NotReached, NotWelcome, OpenError, ProposeError};
use crate::gate::Gate;
use crate::log_store::LogStore;
use crate::machine::Machine;
use crate::network::{Channel, Lane};
use crate::own_runtime::OwnRuntime;
use crate::published::Published;
use crate::replica::{Parts, Replica};
use crate::settings::Settings;
use crate::sources::SourceId;
use crate::state_machine::StateMachine;
use crate::status::Status;
use crate::storage::Storage;
use crate::trace::{Observer, Trace};
use crate::transport::{Credentials, Doorman, Identity, Listener, Listening, TlsDial};
use crate::types::{Committed, NodeId, Peer};

/// What opening a node takes.
pub struct Options {
    /// The folder for the log (`raft/`) and the snapshots (`snapshots/`).
    pub data: PathBuf,
    /// Who we are.
    pub identity: Identity,
    /// Where to listen for peers, as `host:port`; port 0 picks one.
    pub listen: String,
    /// The peers that the answer to our request to join named; they count only while our log knows no members.
    pub introduced: Vec<(NodeId, Peer)>,
    /// Timeouts and limits.
    pub settings: Settings,
    /// Who answers what peers ask beside the log, such as to be let in.
    pub gate: Arc<dyn Gate>,
    /// Where time comes from.
    pub clocks: Arc<dyn Clocks>,
    /// A lone node may stamp though its clock is far ahead of the state's time.
    pub accept_clock: bool,
}

/// One node; clones are handles to the same.
pub struct Raft<M: Machine> {
    node: Arc<Node<M>>,
}

type Engine<M> = Replica<M, TokioRuntime, StateMachine<TokioRuntime, M>>;

struct Node<M: Machine> {
    replica: Arc<Engine<M>>,
    peer_address: SocketAddr,
    credentials: Arc<Credentials>,
    runtime: OwnRuntime,
}

impl<M: Machine> Clone for Raft<M> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node) }
    }
}

impl<M: Machine> Raft<M> {
    /// Opens the log, restores the state, and begins to listen and to take part.
    pub async fn open(options: Options) -> Result<Self, OpenError> {
        let runtime = OwnRuntime::start().map_err(|error| OpenError::Data(error.to_string()))?;
        let (replica, peer_address, credentials) = runtime.run(start(options)).await?;
        Ok(Self { node: Arc::new(Node { replica, peer_address, credentials, runtime }) })
    }

    /// Has the replica do something that may talk with peers.
    async fn have<T, F>(&self, act: impl FnOnce(Arc<Engine<M>>) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.node.runtime.run(act(Arc::clone(&self.node.replica))).await
    }

    /// Starts a new cluster with this node as its only member; refused if it has ever been in one.
    pub async fn initialize(&self, peer: Peer) -> Result<(), MemberError> {
        self.have(async move |replica| replica.initialize(peer).await).await
    }

    /// Shows other certificates to peers and joiners from now on: ours, which must be of the same key, and whatever signed
    /// it, as DER. Open connections stay.
    ///
    /// # Errors
    /// The certificate is none, or of another key.
    pub fn show_certificates(&self, certificate_chain: &[Vec<u8>]) -> Result<(), String> {
        self.node.credentials.show(certificate_chain)
    }

    /// Where we listen for peers, with the port that was picked.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.node.peer_address
    }

    /// The present view with its index and freshness.
    #[must_use]
    pub fn published(&self) -> Arc<Published<M::View>> {
        self.node.replica.published()
    }

    /// Has the cluster decide a command; returns when this node's view holds it.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Committed, ProposeError> {
        self.propose_traced(command, None).await
    }

    /// The same for a request that belongs to a trace, which the leader is told.
    pub async fn propose_traced(
        &self,
        command: Vec<u8>,
        trace: Option<Trace>,
    ) -> Result<Committed, ProposeError> {
        self.have(async move |replica| replica.propose_traced(command, trace).await).await
    }

    /// Has this one told of proposals that carry a trace, while this node leads.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.node.replica.observe(observer);
    }

    /// A view that is proven fresh as of an instant later than `newer_than`, or later than this call. Requests
    /// share rounds; the wait is bounded by [`Settings::fresh_wait_ms`].
    pub async fn fresh(&self, newer_than: Option<Instants>) -> Result<Arc<Published<M::View>>, NotFresh> {
        self.node.replica.fresh(newer_than).await
    }

    /// Notes that all that a source had decided before `noted` is in the published view: whoever leads knows that, and
    /// the others learn it with their next proof of freshness.
    pub fn prove_source(&self, source: SourceId, noted: Instants) {
        self.node.replica.prove_source(source, noted);
    }

    /// Forgets what was proved of sources: somebody else leads.
    pub fn forget_sources(&self) {
        self.node.replica.forget_sources();
    }

    /// A view that holds `index`.
    pub async fn wait_index(
        &self,
        index: u64,
        wait: Duration,
    ) -> Result<Arc<Published<M::View>>, NotReached> {
        let board = &self.node.replica.board;
        let reached = tokio::time::timeout(wait, board.wait_index(index)).await;
        let published = board.load();
        if reached.is_ok() {
            Ok(published)
        } else {
            Err(NotReached { wanted: index, reached: published.index })
        }
    }

    /// Adds a node that receives the log; it is given a vote by itself once it has caught up.
    pub async fn add_learner(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        self.have(async move |replica| replica.add_learner(id, peer).await).await
    }

    /// Gives a learner its vote now.
    pub async fn promote(&self, id: NodeId) -> Result<(), MemberError> {
        self.have(async move |replica| replica.promote(id).await).await
    }

    /// Removes a member; its id never returns.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        self.have(async move |replica| replica.remove(id).await).await
    }

    /// Records other addresses of a member, whose key must be the one that is recorded.
    pub async fn relocate(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        self.have(async move |replica| replica.relocate(id, peer).await).await
    }

    /// Asks a member something beside the log; its [`Gate`] answers.
    ///
    /// # Errors
    /// It was not reached in time, or tells nothing.
    pub async fn ask_member(&self, id: NodeId, question: Vec<u8>, wait: Duration) -> Result<Vec<u8>, String> {
        self.have(async move |replica| replica.ask_member(id, question, wait).await).await
    }

    /// Hands leadership to a voter.
    pub async fn transfer(&self, to: NodeId) -> Result<(), MemberError> {
        self.have(async move |replica| replica.transfer(to).await).await
    }

    /// The state of this node.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.replica.status()
    }

    /// How far this node's clock is ahead, in milliseconds, by all that it can be held against; none where that is nothing
    /// yet.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<u64> {
        self.node.replica.clock_ahead_ms()
    }

    /// Asks the others for their time, as happens once a second.
    pub async fn compare_clocks(&self) {
        self.have(async move |replica| replica.compare_clocks().await).await;
    }

    /// Resolves with the reason when the node has stopped itself; never while it is well.
    pub fn stopped(&self) -> impl Future<Output = String> + Send + 'static {
        self.node.replica.stopped()
    }

    /// Resolves once a member has said why this node doesn't belong to the cluster any more. Its own log need not know:
    /// nobody sends a removed node anything.
    pub fn dismissed(&self) -> impl Future<Output = Dismissed> + Send + 'static {
        self.node.replica.dismissed()
    }

    /// Stops the node; a leader hands over first.
    pub async fn shutdown(&self) {
        self.have(async move |replica| replica.shutdown().await).await;
    }
}

/// What [`Raft::open`] has done on the threads of replication: the replica takes part, and peers are listened to.
async fn start<M: Machine>(
    options: Options,
) -> Result<(Arc<Engine<M>>, SocketAddr, Arc<Credentials>), OpenError> {
    let credentials = Arc::new(Credentials::new(&options.identity).map_err(OpenError::Identity)?);
    let failed = |source| OpenError::Listen { address: options.listen.clone(), source };
    let listener = TcpListener::bind(&options.listen).await.map_err(failed)?;
    let data = options.data.clone();
    let storage = unblock(&Threads, "open", move || Storage::<TokioRuntime, M>::open(&data))
        .await
        .map_err(|error| OpenError::Data(error.to_string()))?;
    let listening = Listening {
        me: options.identity.node_id,
        service_id: options.identity.service_id.clone(),
        generation: options.identity.generation,
        frame_bytes_max: options.settings.frame_bytes_max,
        greeting: Duration::from_millis(options.settings.dial_timeout_ms),
        strangers_max: options.settings.strangers_max,
    };
    let gate = Arc::clone(&options.gate);
    let replica = Replica::start(parts(options, Arc::clone(&credentials), storage)).await?;
    replica.tell_by(Arc::clone(&gate));
    let doorman = Porter { replica: Arc::clone(&replica), gate };
    let listener = Listener::new(listener, &credentials, listening, doorman).map_err(OpenError::Identity)?;
    let peer_address = listener.local_address().map_err(|error| OpenError::Identity(error.to_string()))?;
    let ended = replica.ended();
    tokio::spawn(async move {
        tokio::select! {
            () = ended => {}
            () = listener.run() => {}
        }
    });
    Ok((replica, peer_address, credentials))
}

fn parts<M: Machine>(
    options: Options,
    credentials: Arc<Credentials>,
    storage: Storage<TokioRuntime, M>,
) -> Parts<M, LogStore<TokioRuntime>, StateMachine<TokioRuntime, M>> {
    let identity = options.identity;
    let dial = TlsDial {
        credentials,
        service_id: identity.service_id,
        generation: identity.generation,
        from: identity.node_id,
        frame_bytes_max: options.settings.frame_bytes_max,
    };
    let now = options.clocks.now();
    Parts {
        id: identity.node_id,
        journal: storage.journal(),
        log: storage.log,
        state_machine: storage.machine,
        board: storage.board,
        dial: Arc::new(dial),
        clocks: options.clocks,
        settings: options.settings,
        accept_clock: options.accept_clock,
        introduced: options.introduced,
        incoming: storage.snapshots.folder(),
        blocking: Arc::new(Threads),
        salt: now.wall_ms.rotate_left(20) ^ now.boot_ms,
        defects: Defects::default(),
    }
}

/// Stands between the listener and the replica.
struct Porter<M: Machine> {
    replica: Arc<Engine<M>>,
    gate: Arc<dyn Gate>,
}

impl<M: Machine> Doorman for Porter<M> {
    fn welcomes(&self, id: NodeId, key: [u8; 32]) -> Result<(), NotWelcome> {
        self.replica.welcomes(id, key)
    }

    fn serve(&self, from: NodeId, lane: Lane, channel: Channel) -> BoxFuture<'static, ()> {
        Box::pin(Arc::clone(&self.replica).serve(from, lane, channel))
    }

    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        self.gate.admit(exporter, request)
    }
}
