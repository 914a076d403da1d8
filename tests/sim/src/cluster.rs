//! The computers of a cluster, and the cluster's beginning.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use circlet_authority::{Action, Actor, AdmitNode, Command, MintJoinToken, Outcome};
use circlet_raft::blocking::Blocking;
use circlet_raft::log_store::PurgeBound;
use circlet_raft::replica::{Parts, Replica};
use circlet_raft::snapshot::SnapshotStore;
use circlet_raft::storage::Storage;
use circlet_raft::{NodeId, Peer, Settings};
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::dice::Dice;
use crate::disk::{Disk, DiskEngine};
use crate::history::{Event, History};
use crate::house;
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{Scope, lock};
use crate::wires::{Plug, Wires};

/// What blocks is done on the spot.
struct OnTheSpot;

impl Blocking for OnTheSpot {
    fn run(&self, _: &'static str, job: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        job();
        Ok(())
    }
}

/// A machine with a disk and clocks; a node runs on it, or doesn't.
pub struct Computer {
    /// The node's id.
    pub id: NodeId,
    /// How the others know it.
    pub peer: Peer,
    /// Where the log is.
    pub disk: Arc<Disk>,
    /// Its clocks, which go on while it is down.
    pub clock: Arc<Mutex<Clock>>,
    folder: PathBuf,
    introduced: Vec<(NodeId, Peer)>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    lives: u64,
    node: Option<(Arc<Scope>, Arc<Member>)>,
}

impl Computer {
    /// The node that runs here, if one does.
    pub fn node(&self) -> Option<(Arc<Scope>, Arc<Member>)> {
        lock(&self.running).node.clone()
    }
}

/// The whole of it.
pub struct Cluster {
    /// Where everything is told.
    pub history: Arc<History>,
    /// Between the computers.
    pub wires: Arc<Wires>,
    dice: Dice,
    settings: Settings,
    computers: Mutex<Vec<Arc<Computer>>>,
    home: tempfile::TempDir,
}

impl Cluster {
    /// A cluster without computers.
    #[must_use]
    pub fn new(history: Arc<History>, dice: &Dice, settings: Settings) -> Arc<Self> {
        let memory = std::path::Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Arc::new(Self {
            history,
            wires: Wires::new(dice.split()),
            dice: dice.split(),
            settings,
            computers: Mutex::default(),
            home: home.expect("a folder for snapshots can be made"),
        })
    }

    /// All computers, running or not.
    pub fn computers(&self) -> Vec<Arc<Computer>> {
        lock(&self.computers).clone()
    }

    /// Those with a node that is running.
    pub fn running(&self) -> Vec<Arc<Computer>> {
        self.computers().into_iter().filter(|computer| computer.node().is_some()).collect()
    }

    /// The one that leads, as one of them believes that it does itself.
    pub fn leader(&self) -> Option<Arc<Computer>> {
        self.running().into_iter().find(|computer| {
            computer.node().is_some_and(|(_, member)| member.status().leader == Some(computer.id))
        })
    }

    fn add(&self, id: NodeId, name: &str, introduced: Vec<(NodeId, Peer)>) -> Arc<Computer> {
        let drift = self.dice.between(0, 400);
        let off_ms = i64::try_from(self.dice.between(0, 1_000)).unwrap_or(0) - 500;
        let disk = Arc::new(Disk::default());
        let early = self.history.plant() == Plant::EarlyAcknowledgement;
        disk.set(|habits| habits.acknowledges_early = early);
        let computer = Arc::new(Computer {
            id,
            peer: peer(name),
            disk,
            clock: Arc::new(Mutex::new(Clock::new(999_800 + drift, off_ms))),
            folder: self.home.path().join(name),
            introduced,
            running: Mutex::default(),
        });
        lock(&self.computers).push(Arc::clone(&computer));
        computer
    }

    /// Starts the node of a computer that has none running.
    pub async fn start(self: &Arc<Self>, computer: &Arc<Computer>) {
        let life = {
            let mut running = lock(&computer.running);
            if running.node.is_some() {
                return;
            }
            running.lives += 1;
            running.lives
        };
        self.history.tell(&Event::Started { node: computer.id, life });
        let scope = Scope::new(computer.id, Arc::clone(&computer.clock), Arc::clone(&self.history));
        let opening = self.open(Arc::clone(computer), Arc::clone(&scope), life);
        match scope.enter(|| NodeRuntime::spawn(opening)).await {
            Ok(Ok(member)) => {
                let key = computer.peer.public_key;
                self.wires.plug(computer.id, Arc::clone(&scope), Arc::clone(&member), key);
                let stopped = member.stopped();
                lock(&computer.running).node = Some((Arc::clone(&scope), member));
                let (this, computer) = (Arc::clone(self), Arc::clone(computer));
                let watching = async move {
                    let why = stopped.await;
                    let expected = computer.disk.fails();
                    this.history.tell(&Event::Stopped { node: computer.id, why, expected });
                };
                scope.enter(|| drop(NodeRuntime::spawn(watching)));
            }
            Ok(Err(why)) => {
                let expected = computer.disk.fails();
                self.history.tell(&Event::Stopped { node: computer.id, why, expected });
                scope.kill();
            }
            Err(_) => scope.kill(),
        }
    }

    fn open(
        &self,
        computer: Arc<Computer>,
        scope: Arc<Scope>,
        life: u64,
    ) -> impl Future<Output = Result<Arc<Member>, String>> + Send + 'static {
        let (wires, settings, dice) = (Arc::clone(&self.wires), self.settings.clone(), self.dice.split());
        let defects = self.history.plant().defects();
        async move {
            let failed = |error: std::io::Error| error.to_string();
            let bound = PurgeBound::none();
            let engine = DiskEngine::open(Arc::clone(&computer.disk), dice);
            let snapshots = SnapshotStore::open(&computer.folder, bound.clone()).map_err(failed)?;
            let storage =
                Storage::assemble(Arc::new(engine), snapshots, bound, Arc::new(OnTheSpot)).map_err(failed)?;
            let parts = Parts {
                id: computer.id,
                journal: storage.journal(),
                log: storage.log,
                state_machine: storage.machine,
                board: storage.board,
                dial: Arc::new(Plug { wires, me: computer.id }),
                clocks: scope,
                settings,
                accept_clock: false,
                introduced: computer.introduced.clone(),
                incoming: computer.folder.clone(),
                blocking: Arc::new(OnTheSpot),
                salt: (computer.id << 32) + (life << 20),
                defects,
            };
            Replica::start(parts).await.map_err(|error| error.to_string())
        }
    }

    /// Kills a node as a power cut does: what its disk had not synced is lost, fully or in part.
    pub fn kill(&self, computer: &Computer) {
        let node = lock(&computer.running).node.take();
        let Some((scope, member)) = node else { return };
        self.wires.unplug(computer.id);
        scope.kill();
        drop(member);
        let lost = computer.disk.crash(&self.dice);
        self.history.tell(&Event::Killed { node: computer.id, lost });
    }

    /// Founds the cluster and has `count` nodes join.
    pub async fn found(self: &Arc<Self>, count: u64) -> Result<(), String> {
        let founder = self.add(1, "n1", Vec::new());
        self.start(&founder).await;
        let peer = founder.peer.clone();
        ask(&founder, |member| async move { member.initialize(peer).await.map_err(|e| e.to_string()) })
            .await
            .ok_or("the founder died")??;
        decide(&founder, Actor::System, house::bootstrap(&founder.peer)).await?;
        for action in house::furniture() {
            decide(&founder, Actor::Operator, action).await?;
        }
        for number in 2..=count {
            self.join(&founder, &format!("n{number}")).await?;
        }
        for _ in 0..600 {
            NodeRuntime::sleep(std::time::Duration::from_millis(50)).await;
            let voters = |computer: &Arc<Computer>| {
                let members = computer.node().map(|(_, member)| member.status().members).unwrap_or_default();
                members.values().filter(|member| member.voter).count() as u64
            };
            if self.computers().iter().all(|computer| voters(computer) == count) {
                return Ok(());
            }
        }
        Err("not all nodes got a vote".to_owned())
    }

    /// Lets one more node join, with the help of a running one.
    pub async fn join(self: &Arc<Self>, through: &Arc<Computer>, name: &str) -> Result<(), String> {
        let secret = digest(&[b"join ", name.as_bytes()]);
        let mint = Action::MintJoinToken(MintJoinToken { hash: secret });
        decide(through, Actor::Operator, mint).await?;
        let peer = peer(name);
        let admit = Action::AdmitNode(Box::new(AdmitNode {
            join_token: secret,
            name: peer.name.clone(),
            peer_address: peer.peer_address.clone(),
            client_url: peer.client_url.clone(),
            public_key: peer.public_key,
        }));
        let Outcome::Joined { node } = decide(through, Actor::System, admit).await? else {
            return Err(format!("{name} was not admitted"));
        };
        let computer = self.add(node, name, vec![(through.id, through.peer.clone())]);
        self.wires.learn_key(node, peer.public_key);
        self.start(&computer).await;
        ask(through, move |member| async move {
            member.add_learner(node, peer).await.map_err(|error| error.to_string())
        })
        .await
        .ok_or("the helper died")?
    }

    /// Ends everything, so that nothing holds on to anything.
    pub fn end(&self) {
        for computer in self.computers() {
            self.wires.unplug(computer.id);
            let node = lock(&computer.running).node.take();
            if let Some((scope, _member)) = node {
                scope.kill();
            }
        }
    }
}

/// Has a node do something; nothing comes back if it dies meanwhile.
pub async fn ask<T, F>(computer: &Computer, work: impl FnOnce(Arc<Member>) -> F) -> Option<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let (scope, member) = computer.node()?;
    scope.enter(|| NodeRuntime::spawn(work(member))).await.ok()
}

/// Has a command decided through a node.
pub async fn decide(computer: &Computer, actor: Actor, action: Action) -> Result<Outcome, String> {
    let command = Command { actor, action }.encode();
    let proposed = ask(computer, |member| async move { member.propose(command).await }).await;
    let committed = proposed.ok_or("the node died")?.map_err(|error| error.to_string())?;
    let outcome = Outcome::decode(&committed.outcome).map_err(|error| error.to_string())?;
    match outcome.refusal() {
        Some(refusal) => Err(refusal.to_string()),
        None => Ok(outcome),
    }
}

fn peer(name: &str) -> Peer {
    Peer {
        name: name.to_owned(),
        peer_address: format!("{name}:7000"),
        client_url: format!("https://{name}"),
        public_key: digest(&[b"key of ", name.as_bytes()]),
    }
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
}
