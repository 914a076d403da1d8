//! Nodes with real sockets and disks, each on a runtime of its own, so that one can be killed.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use circlet_raft::{
    Committed, Gate, Identity, NodeId, Options, Peer, ProposeError, Raft, Settings, SystemClocks,
    Unconfirmed, public_key_digest,
};
use futures::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};

use crate::lines::Lines;
use crate::ports::free_port;

/// Of the runtime that stands for the rest of a node.
const THREADS: usize = 2;

/// Answers with the exporter and what was asked. Believes in later generations, except for these two.
pub(crate) struct Echo;

/// One that isn't believed.
pub(crate) const UNBELIEVED: u64 = 0;
/// One that can't be kept.
pub(crate) const UNKEPT: u64 = 13;

impl Gate for Echo {
    fn admit(&self, exporter: [u8; 32], request: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        Box::pin(async move {
            match request.as_slice() {
                b"no" => Err("not today".to_owned()),
                _ => Ok([exporter.as_slice(), &request].concat()),
            }
        })
    }

    fn superseded(&self, _: NodeId, generation: u64) -> BoxFuture<'static, Result<(), Unconfirmed>> {
        Box::pin(std::future::ready(match generation {
            UNBELIEVED => Err(Unconfirmed::NotBelieved("it is over".to_owned())),
            UNKEPT => Err(Unconfirmed::NotKept("the disk is full".to_owned())),
            _ => Ok(()),
        }))
    }
}

/// A key with a certificate of its own.
pub(crate) fn identity(node_id: NodeId) -> Identity {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    Identity {
        node_id,
        certificate_chain: vec![certificate.der().to_vec()],
        private_key: key.serialize_der().into(),
        service_id: "jfrt@01test".to_owned(),
        generation: 1,
    }
}

/// A node that may be running or not.
pub(crate) struct Node {
    pub(crate) identity: Identity,
    pub(crate) address: String,
    pub(crate) settings: Settings,
    pub(crate) introduced: Vec<(NodeId, Peer)>,
    data: PathBuf,
    running: Option<(Runtime, Raft<Lines>)>,
}

impl Node {
    pub(crate) fn new(node_id: NodeId, home: &tempfile::TempDir, settings: Settings) -> Self {
        Self {
            identity: identity(node_id),
            address: format!("127.0.0.1:{}", free_port()),
            settings,
            introduced: Vec::new(),
            data: home.path().join(node_id.to_string()),
            running: None,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node_id
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer {
            name: format!("node-{}", self.id()),
            peer_address: self.address.clone(),
            client_url: format!("http://{}", self.address),
            public_key: public_key_digest(&self.identity.certificate_chain[0]).unwrap(),
        }
    }

    pub(crate) fn start(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
        let options = Options {
            data: self.data.clone(),
            identity: self.identity.clone(),
            listen: self.address.clone(),
            introduced: self.introduced.clone(),
            settings: self.settings.clone(),
            gate: Arc::new(Echo),
            clocks: Arc::new(SystemClocks),
            accept_clock: false,
        };
        std::fs::create_dir_all(&self.data).unwrap();
        // The threads of one that was killed let go of it in a moment.
        until("the port is free", || std::net::TcpListener::bind(&self.address).is_ok());
        let raft = runtime.block_on(Raft::open(options)).unwrap();
        self.running = Some((runtime, raft));
    }

    /// As if the process had been killed.
    pub(crate) fn kill(&mut self) {
        let (runtime, raft) = self.running.take().unwrap();
        drop(raft);
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// An orderly end.
    pub(crate) fn stop(&mut self) {
        let (runtime, raft) = self.running.take().unwrap();
        runtime.block_on(raft.shutdown());
        drop(raft);
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Copies what is on its disk, or puts a copy back.
    pub(crate) fn copy_disk(&self, backup: &Path, back: bool) {
        assert!(self.running.is_none());
        let (from, to) = if back { (backup, self.data.as_path()) } else { (self.data.as_path(), backup) };
        let _ = std::fs::remove_dir_all(to);
        copy_folder(from, to);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn raft(&self) -> &Raft<Lines> {
        &self.running.as_ref().unwrap().1
    }

    /// Runs something on the node's runtime.
    pub(crate) fn wait<F: Future>(&self, work: impl FnOnce(Raft<Lines>) -> F) -> F::Output {
        let (runtime, raft) = self.running.as_ref().unwrap();
        runtime.block_on(work(raft.clone()))
    }

    /// Does something while whatever else runs on the node's runtime gets no thread.
    pub(crate) fn while_its_threads_are_taken(&self, act: impl FnOnce()) {
        let mut holds = Vec::new();
        for _ in 0..THREADS {
            let (taken, is_taken) = mpsc::channel();
            let (hold, released) = mpsc::channel::<()>();
            self.running.as_ref().unwrap().0.spawn(async move {
                taken.send(()).unwrap();
                // Ends when the other side does, also by a panic.
                let _ = released.recv();
            });
            is_taken.recv().unwrap();
            holds.push(hold);
        }
        act();
    }

    pub(crate) fn propose(&self, line: &str) -> Result<Committed, ProposeError> {
        let command = line.as_bytes().to_vec();
        self.wait(|raft| async move { raft.propose(command).await })
    }

    /// Has the cluster decide, and asks again where that is not possible at the moment, or not known.
    pub(crate) fn decide(&self, line: &str) -> Committed {
        let mut committed = None;
        until("the cluster decides", || {
            committed = match self.propose(line) {
                Err(ProposeError::Unavailable(_) | ProposeError::Unknown(_)) => None,
                decided => Some(decided.unwrap()),
            };
            committed.is_some()
        });
        committed.unwrap()
    }

    pub(crate) fn is_fresh_now(&self) -> bool {
        self.wait(|raft| async move { raft.fresh(None).await.is_ok() })
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.raft().published().view.lines.contains_key(line)
    }

    pub(crate) fn leads(&self) -> bool {
        self.raft().status().leader == Some(self.id())
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, place) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy_folder(&path, &place);
        } else {
            std::fs::copy(path, place).unwrap();
        }
    }
}

/// A leader that is late for a second, as on a busy machine, is waited for.
pub(crate) fn patient() -> Settings {
    Settings { election_min_ms: 1_000, election_max_ms: 1_600, ..Settings::default() }
}

/// A cluster of `count` nodes, all of them voters.
pub(crate) fn cluster(home: &tempfile::TempDir, count: u64, settings: &Settings) -> Vec<Node> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Only the first test of a process sets it up; RUST_LOG says what is shown.
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter(filter).try_init();
    let mut nodes: Vec<Node> = (1..=count).map(|id| Node::new(id, home, settings.clone())).collect();
    let founder = nodes[0].peer();
    nodes[0].start();
    nodes[0].wait(|raft| async move { raft.initialize(founder).await }).unwrap();
    for joining in 1..nodes.len() {
        let introduced = vec![(nodes[0].id(), nodes[0].peer())];
        nodes[joining].introduced = introduced;
        nodes[joining].start();
        let (id, peer) = (nodes[joining].id(), nodes[joining].peer());
        until("it is a learner", || {
            let peer = peer.clone();
            nodes[0].wait(|raft| async move { raft.add_learner(id, peer).await }).is_ok()
        });
    }
    until("all vote", || {
        nodes.iter().all(|node| {
            let members = node.raft().status().members;
            members.len() as u64 == count && members.values().all(|member| member.voter)
        })
    });
    nodes
}

/// The one that leads among those that run.
pub(crate) fn leader(nodes: &[Node]) -> usize {
    let mut found = 0;
    until("one leads and all know it", || {
        let running = || nodes.iter().filter(|node| node.is_running());
        let Some(known) = running().find_map(|node| node.raft().status().leader) else { return false };
        let Some(position) = nodes.iter().position(|node| node.id() == known) else { return false };
        found = position;
        nodes[position].is_running() && running().all(|node| node.raft().status().leader == Some(known))
    });
    found
}

/// Polls until it is so.
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_mins(2), "waited too long until {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
