//! A network in memory, whose wires can be cut: what is under way is lost, and connections hang instead of closing.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use circlet_raft::blocking::Threads;
use circlet_raft::defects::Defects;
use circlet_raft::engine::{SledEngine, Sync};
use circlet_raft::journal::{Durable, Journal};
use circlet_raft::log_store::PurgeBound;
use circlet_raft::network::{Channel, Dial, Lane};
use circlet_raft::replica::{Parts, Replica};
use circlet_raft::snapshot::SnapshotStore;
use circlet_raft::state_machine::StateMachine;
use circlet_raft::storage::Storage;
use circlet_raft::{
    Clocks, Committed, DialError, DiskReport, NodeId, NotWelcome, Peer, ProposeError, Settings, SystemClocks,
};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::future::BoxFuture;
use futures::{SinkExt, StreamExt};
use openraft_rt_tokio::TokioRuntime;
use tokio_util::bytes::{Bytes, BytesMut};

use crate::lines::Lines;

pub(crate) type Node = Replica<Lines, TokioRuntime, StateMachine<TokioRuntime, Lines>>;

#[derive(Default)]
pub(crate) struct Wires {
    nodes: Mutex<BTreeMap<NodeId, Weak<Node>>>,
    isolated: Mutex<BTreeSet<NodeId>>,
}

impl Wires {
    pub(crate) fn isolate(&self, id: NodeId) {
        self.isolated.lock().unwrap().insert(id);
    }

    pub(crate) fn connect(&self, id: NodeId) {
        self.isolated.lock().unwrap().remove(&id);
    }

    pub(crate) fn heal(&self) {
        self.isolated.lock().unwrap().clear();
    }

    /// A connection of `me` to `target`, in the hands of the test.
    pub(crate) async fn open(self: &Arc<Self>, me: NodeId, target: NodeId, lane: Lane) -> Channel {
        End { wires: Arc::clone(self), me }.dial(target, &peer(target), lane).await.unwrap()
    }

    fn is_cut(&self, one: NodeId, other: NodeId) -> bool {
        let isolated = self.isolated.lock().unwrap();
        isolated.contains(&one) || isolated.contains(&other)
    }

    /// Carries frames until the wire is cut under it; it stays dead then, also after it has been mended.
    async fn carry(
        self: Arc<Self>,
        ends: (NodeId, NodeId),
        mut from: UnboundedReceiver<Bytes>,
        to: UnboundedSender<Bytes>,
    ) {
        while let Some(frame) = from.next().await {
            if self.is_cut(ends.0, ends.1) {
                std::future::pending::<()>().await;
            }
            if to.unbounded_send(frame).is_err() {
                return;
            }
        }
    }
}

struct End {
    wires: Arc<Wires>,
    me: NodeId,
}

impl Dial for End {
    fn dial(&self, target: NodeId, _: &Peer, lane: Lane) -> BoxFuture<'static, Result<Channel, DialError>> {
        let (wires, me) = (Arc::clone(&self.wires), self.me);
        Box::pin(async move {
            if wires.is_cut(me, target) {
                std::future::pending::<()>().await;
            }
            let node = wires.nodes.lock().unwrap().get(&target).and_then(Weak::upgrade);
            let node = node.ok_or("nobody there")?;
            node.welcomes(me, peer(me).public_key).map_err(|error| match error {
                NotWelcome::Dismissed(why) => why.into(),
                NotWelcome::Stranger(reason) => DialError::Failed(reason),
            })?;
            let (ours, theirs) = (pipe(&wires, (me, target)), pipe(&wires, (me, target)));
            tokio::spawn(node.serve(me, lane, channel(theirs.0, ours.1)));
            Ok(channel(ours.0, theirs.1))
        })
    }
}

fn pipe(wires: &Arc<Wires>, ends: (NodeId, NodeId)) -> (UnboundedSender<Bytes>, UnboundedReceiver<Bytes>) {
    let (tx, from) = unbounded();
    let (to, rx) = unbounded();
    tokio::spawn(Arc::clone(wires).carry(ends, from, to));
    (tx, rx)
}

/// Both ends of a connection that goes over no wire.
pub(crate) fn pair() -> (Channel, Channel) {
    let (ours, from_us) = unbounded();
    let (theirs, from_them) = unbounded();
    (channel(ours, from_them), channel(theirs, from_us))
}

fn channel(tx: UnboundedSender<Bytes>, rx: UnboundedReceiver<Bytes>) -> Channel {
    Channel {
        tx: Box::pin(tx.sink_map_err(io::Error::other)),
        rx: Box::pin(rx.map(|frame| Ok(BytesMut::from(&frame[..])))),
    }
}

/// The machine's clocks, the wall clock being off by so much.
#[derive(Default)]
pub(crate) struct Skewed(pub(crate) AtomicI64);

impl Clocks for Skewed {
    fn boot_ms(&self) -> u64 {
        SystemClocks.boot_ms()
    }
    fn wall_ms(&self) -> u64 {
        SystemClocks.wall_ms().saturating_add_signed(self.0.load(Ordering::SeqCst))
    }
}

/// Tells of the disk alone.
struct NoSnapshots(Arc<dyn Journal>);

impl Journal for NoSnapshots {
    fn log_bytes(&self) -> u64 {
        0
    }
    fn snapshot_bytes(&self) -> u64 {
        0
    }
    fn durable(&self) -> Durable {
        Durable::default()
    }
    fn purgeable(&self) -> Option<u64> {
        None
    }
    fn disk(&self) -> DiskReport {
        self.0.disk()
    }
}

pub(crate) fn peer(id: NodeId) -> Peer {
    let name = format!("node-{id}");
    Peer {
        name,
        peer_address: String::new(),
        client_url: String::new(),
        public_key: [id.to_le_bytes()[0]; 32],
    }
}

/// A node that was told of those with lower ids, and its clocks.
pub(crate) async fn start(
    home: &tempfile::TempDir,
    wires: &Arc<Wires>,
    id: NodeId,
) -> (Arc<Node>, Arc<Skewed>) {
    start_on(home, wires, id, Box::new(File::sync_data)).await
}

/// The same on a disk that is synced in a way of its own.
pub(crate) async fn start_on(
    home: &tempfile::TempDir,
    wires: &Arc<Wires>,
    id: NodeId,
    sync: Sync,
) -> (Arc<Node>, Arc<Skewed>) {
    let data = home.path().join(id.to_string());
    std::fs::create_dir_all(&data).unwrap();
    let engine = SledEngine::open_with(&data.join("raft"), sync).unwrap();
    let bound = PurgeBound::none();
    let snapshots = SnapshotStore::open(&data.join("snapshots"), bound.clone()).unwrap();
    let storage = Storage::assemble(Arc::new(engine), snapshots, bound, Arc::new(Threads)).unwrap();
    let clocks = Arc::new(Skewed::default());
    let journal = Arc::new(NoSnapshots(storage.journal()));
    let parts = Parts {
        id,
        log: storage.log,
        state_machine: storage.machine,
        board: storage.board,
        journal,
        dial: Arc::new(End { wires: Arc::clone(wires), me: id }),
        clocks: Arc::clone(&clocks) as Arc<dyn Clocks>,
        // A leader that is late for a second, as on a busy machine, is waited for.
        settings: Settings { election_min_ms: 1_000, election_max_ms: 1_600, ..Settings::default() },
        accept_clock: false,
        introduced: (1..id).map(|known| (known, peer(known))).collect(),
        incoming: storage.snapshots.folder(),
        blocking: Arc::new(Threads),
        salt: id,
        defects: Defects::default(),
    };
    let node: Arc<Node> = Replica::start(parts).await.unwrap();
    wires.nodes.lock().unwrap().insert(id, Arc::downgrade(&node));
    (node, clocks)
}

/// Three nodes, all voting, with their clocks.
pub(crate) async fn three(home: &tempfile::TempDir, wires: &Arc<Wires>) -> Vec<(Arc<Node>, Arc<Skewed>)> {
    three_on(home, wires, |_| Box::new(File::sync_data)).await
}

/// The same, each on a disk that is synced in a way of its own.
pub(crate) async fn three_on(
    home: &tempfile::TempDir,
    wires: &Arc<Wires>,
    sync: impl Fn(NodeId) -> Sync,
) -> Vec<(Arc<Node>, Arc<Skewed>)> {
    let mut nodes = Vec::new();
    for id in 1..=3 {
        nodes.push(start_on(home, wires, id, sync(id)).await);
    }
    nodes[0].0.initialize(peer(1)).await.unwrap();
    for id in 2..=3 {
        in_time(async { while nodes[0].0.add_learner(id, peer(id)).await.is_err() {} }).await;
    }
    let all_vote = || {
        let voters = |node: &Node| node.status().members.values().filter(|member| member.voter).count();
        nodes.iter().all(|(node, _)| voters(node) == 3)
    };
    until("all vote", all_vote).await;
    nodes
}

/// Has the cluster decide, and asks again where that is not possible at the moment, or not known.
pub(crate) async fn decide(node: &Node, command: &[u8]) -> Committed {
    let deciding = async {
        loop {
            match node.propose(command.to_vec()).await {
                Err(ProposeError::Unavailable(_) | ProposeError::Unknown(_)) => {}
                decided => return decided.unwrap(),
            }
        }
    };
    in_time(deciding).await
}

/// Waits for something that is asked for again until it succeeds.
pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(std::time::Duration::from_mins(2), work).await.unwrap()
}

/// Who leads, as far as all know.
pub(crate) async fn leader(nodes: &[(Arc<Node>, Arc<Skewed>)]) -> usize {
    let mut found = 0;
    until("one leads and all know it", || {
        let known = nodes[0].0.status().leader;
        found = known.map_or(0, |id| usize::try_from(id).unwrap() - 1);
        known.is_some() && nodes.iter().all(|(node, _)| node.status().leader == known)
    })
    .await;
    found
}

/// Polls until it is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let polling = async {
        while !so() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let done = tokio::time::timeout(std::time::Duration::from_mins(2), polling).await;
    assert!(done.is_ok(), "waited too long until {what}");
}
