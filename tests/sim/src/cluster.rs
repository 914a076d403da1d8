//! The computers of a cluster, their starts and ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_authority::limits::FLOOR_FEATURE_LEVEL;
use circlet_authority::{Action, Actor, Command, Outcome, SealedKind, State};
use circlet_raft::blocking::Blocking;
use circlet_raft::folder::Folder;
use circlet_raft::log_store::PurgeBound;
use circlet_raft::replica::{Parts, Replica};
use circlet_raft::snapshot::SnapshotStore;
use circlet_raft::storage::Storage;
use circlet_raft::{NodeId, Settings};
use circlet_token::{ServiceId, SigningKey};
use futures::future::BoxFuture;
use openraft_rt::AsyncRuntime;

use crate::circle::{self, Guests, Neighbour};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::disk::{Disk, DiskEngine, DiskFolder, FloorDisk};
use crate::fault::{Fault, Faults};
use crate::floor;
use crate::history::{Event, History};
use crate::house;
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{self, Scope, lock};
use crate::sealing::MasterKey;
use crate::turnover::{self, Keeper};
use crate::version;
use crate::wires::{Plug, Wires};

mod computer;
mod duties;
mod membership;
mod next_generation;
mod succession;
mod thief;
mod versions;

pub use computer::Computer;
pub(crate) use succession::hear;
pub use succession::{Former, is_given_up};

use computer::{Newcomer, named_by};

/// How soon a node that stopped itself is started again.
const RESTART: Duration = Duration::from_secs(1);

/// What blocks is done on the spot.
struct OnTheSpot(Arc<Faults>);

impl Blocking for OnTheSpot {
    fn run(&self, name: &'static str, job: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        // Only what came over the network is checked. A newcomer begins with one: that is no lag.
        if name == "check" && scope::current().is_some_and(|scope| scope.has_applied()) {
            self.0.count(Fault::SnapshotInstalled);
        }
        job();
        Ok(())
    }
}

/// The whole of it.
pub struct Cluster {
    /// Where everything is told.
    pub history: Arc<History>,
    /// What it is called.
    pub service: ServiceId,
    /// Between the computers.
    pub wires: Arc<Wires>,
    /// What went wrong so far.
    pub faults: Arc<Faults>,
    dice: Dice,
    settings: Settings,
    computers: Mutex<Vec<Arc<Computer>>>,
    neighbours: Mutex<Vec<Neighbour>>,
    /// Whom it expects, and who is being let in.
    pub guests: Guests,
    /// Its nodes keep floors.
    keeps_floors: AtomicBool,
    /// The version of the program that new computers are given.
    release: AtomicU32,
    /// Some are given an older one.
    mixes_versions: AtomicBool,
    /// It is over: what runs on its computers belongs to another one.
    ended: AtomicBool,
    /// Who began this generation without others, which are to be told.
    former: Mutex<Option<Arc<Former>>>,
}

impl Cluster {
    /// A cluster without computers; what goes wrong in it is counted in `faults`.
    #[must_use]
    pub fn new(
        service: &ServiceId,
        history: Arc<History>,
        dice: &Dice,
        settings: Settings,
        faults: Arc<Faults>,
    ) -> Arc<Self> {
        Arc::new(Self {
            service: service.clone(),
            history,
            wires: Wires::new(dice.split(), Arc::clone(&faults)),
            faults,
            dice: dice.split(),
            settings,
            computers: Mutex::default(),
            neighbours: Mutex::default(),
            guests: Guests::default(),
            keeps_floors: AtomicBool::new(false),
            release: AtomicU32::new(version::next()),
            mixes_versions: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            former: Mutex::default(),
        })
    }

    /// Has the nodes that come from now on keep floors.
    pub fn keep_floors(&self) {
        self.keeps_floors.store(true, Ordering::SeqCst);
    }

    /// Whether nodes keep floors.
    pub fn keeps_floors(&self) -> bool {
        self.keeps_floors.load(Ordering::SeqCst)
    }

    /// The clusters that it is in a circle with.
    pub fn neighbours(&self) -> Vec<Neighbour> {
        lock(&self.neighbours).clone()
    }

    /// Has the running nodes, and those that start later, follow a neighbour.
    pub fn meet(&self, neighbour: &Neighbour) {
        lock(&self.neighbours).push(neighbour.clone());
        for computer in self.running() {
            if let Some((scope, member)) = computer.node() {
                let following = circle::follow(member, neighbour.clone());
                scope.enter(|| drop(NodeRuntime::spawn(following)));
            }
        }
    }

    /// What its nodes run with.
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// All computers, running or not.
    pub fn computers(&self) -> Vec<Arc<Computer>> {
        lock(&self.computers).clone()
    }

    /// Those with a node that is running.
    pub fn running(&self) -> Vec<Arc<Computer>> {
        let mut running = self.computers();
        running.retain(|computer| computer.node().is_some() && !self.ended.load(Ordering::SeqCst));
        running
    }

    /// The one that leads, as one of them believes that it does itself.
    pub fn leader(&self) -> Option<Arc<Computer>> {
        self.running().into_iter().find(|computer| {
            computer.node().is_some_and(|(_, member)| member.status().leader == Some(computer.id))
        })
    }

    /// The view of whoever leads, or of another node.
    pub fn view(&self) -> Option<Arc<State>> {
        let computer = self.leader().or_else(|| self.running().into_iter().next())?;
        Some(Arc::clone(&computer.node()?.1.published().view))
    }

    /// A signing key of this view, as a running node can unseal it.
    pub fn unseal(&self, view: &State, which: &SealedKind) -> Option<SigningKey> {
        let nodes = self.computers().into_iter().filter_map(|computer| computer.node());
        nodes.into_iter().find_map(|(scope, _)| house::unseal(scope.ring(), view, which))
    }

    /// Clocks that are about right.
    fn new_clock(&self) -> Arc<Mutex<Clock>> {
        let drift = self.dice.between(0, 400);
        let off_ms = i64::try_from(self.dice.between(0, 1_000)).unwrap_or(0) - 500;
        Arc::new(Mutex::new(Clock::new(999_800 + drift, off_ms)))
    }

    fn add(&self, id: NodeId, newcomer: Newcomer, clock: Arc<Mutex<Clock>>) -> Arc<Computer> {
        let Newcomer { peer, votes, introduced } = newcomer;
        let disk = Arc::new(Disk::default());
        let plant = self.history.plant();
        disk.set(|habits| {
            habits.acknowledges_early = plant == Plant::EarlyAcknowledgement;
            habits.forgets_committed = plant == Plant::ForgottenCommitted;
        });
        let computer = Arc::new(Computer {
            id,
            known_as: peer,
            moves: AtomicU32::new(0),
            votes,
            disk,
            floor: self.keeps_floors().then(FloorDisk::default),
            clock,
            version: AtomicU32::new(self.release()),
            floor_moves: AtomicU32::new(0),
            introduced,
            running: Mutex::default(),
            leaving: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        });
        lock(&self.computers).push(Arc::clone(&computer));
        computer
    }

    /// Starts the node of a computer that has none running.
    pub async fn start(self: &Arc<Self>, computer: &Arc<Computer>) {
        let life = {
            let mut running = lock(&computer.running);
            if running.node.is_some() || running.opens || computer.gone.load(Ordering::SeqCst) {
                return;
            }
            running.opens = true;
            running.lives += 1;
            running.lives
        };
        if is_given_up(&computer.disk) {
            lock(&computer.running).opens = false;
            return self.tell_stopped(computer, "it was given up".to_owned(), true);
        }
        self.history.tell(&Event::Started { node: computer.id, life });
        let scope = Scope::new(computer.id, Arc::clone(&computer.clock), Arc::clone(&self.history));
        scope.runs(computer.version());
        self.history.tell(&Event::Runs { node: computer.id, version: computer.version() });
        let knows_floors = computer.version() >= FLOOR_FEATURE_LEVEL;
        let floor = computer.floor.as_ref().filter(|_| knows_floors).map(|storage| {
            let keeper = floor::keeper(computer, storage);
            scope.stands_on(keeper.floor());
            (keeper, storage.clone(), self.dice.split())
        });
        let opening = self.open(Arc::clone(computer), Arc::clone(&scope), life);
        let opened = scope.enter(|| NodeRuntime::spawn(opening)).await;
        lock(&computer.running).opens = false;
        match opened {
            Ok(Ok(_)) if computer.gone.load(Ordering::SeqCst) => scope.kill(),
            Ok(Ok((member, own))) => {
                computer.disk.begin_life();
                let place = computer.peer();
                self.wires.plug(computer.id, Arc::clone(&scope), Arc::clone(&member), &place);
                let stopped = member.stopped();
                let of_node = Arc::clone(&member);
                let number = self.dice.word();
                scope.enter(|| drop(NodeRuntime::spawn(duties::turn_keys(Arc::clone(&of_node), number))));
                scope.enter(|| drop(NodeRuntime::spawn(duties::keep_level(Arc::clone(&of_node)))));
                scope.enter(|| drop(NodeRuntime::spawn(duties::announce(Arc::clone(&of_node), &place))));
                scope.enter(|| drop(NodeRuntime::spawn(duties::purge(of_node))));
                member.observe(Arc::new(versions::Reader));
                let keeper = Keeper {
                    member: Arc::clone(&member),
                    scope: Arc::clone(&scope),
                    disk: Arc::clone(&computer.disk),
                    dice: self.dice.split(),
                };
                keeper.open_door();
                scope.enter(|| drop(NodeRuntime::spawn(keeper.run(own))));
                self.take_up_telling(&scope);
                if let Some((keeper, storage, dice)) = floor {
                    let keeping = floor::keep(Arc::clone(&member), keeper, storage, dice);
                    scope.enter(|| drop(NodeRuntime::spawn(keeping)));
                }
                for neighbour in self.neighbours() {
                    let following = circle::follow(Arc::clone(&member), neighbour);
                    scope.enter(|| drop(NodeRuntime::spawn(following)));
                }
                let given_up = succession::stop_if_given_up(Arc::clone(&member));
                lock(&computer.running).node = Some((Arc::clone(&scope), member));
                self.watch(&scope, computer, life, async { Some((stopped.await, false)) });
                self.watch(&scope, computer, life, given_up);
            }
            Ok(Err(why)) => {
                self.tell_stopped(computer, why, false);
                scope.kill();
            }
            Err(_) => scope.kill(),
        }
    }

    /// Has a node looked after that stops itself for a reason that comes.
    fn watch(
        self: &Arc<Self>,
        scope: &Arc<Scope>,
        computer: &Arc<Computer>,
        life: u64,
        stops: impl Future<Output = Option<(String, bool)>> + Send + 'static,
    ) {
        let (this, computer) = (Arc::clone(self), Arc::clone(computer));
        let watching = async move {
            let Some((why, expected)) = stops.await else { return };
            this.tell_stopped(&computer, why, expected);
            scope::outside(|| drop(NodeRuntime::spawn(this.supervise(computer, life))));
        };
        scope.enter(|| drop(NodeRuntime::spawn(watching)));
    }

    /// Starts a node again that stopped itself, unless somebody else did.
    fn supervise(self: Arc<Self>, computer: Arc<Computer>, life: u64) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            NodeRuntime::sleep(RESTART).await;
            let same = lock(&computer.running).lives == life && !computer.leaving.load(Ordering::SeqCst);
            if same {
                self.kill(&computer);
                self.start(&computer).await;
            }
        })
    }

    fn tell_stopped(&self, computer: &Computer, why: String, expected: bool) {
        let expected = expected || computer.may_stop(self.history.level());
        self.history.tell(&Event::Stopped { node: computer.id, why, expected });
    }

    fn open(
        &self,
        computer: Arc<Computer>,
        scope: Arc<Scope>,
        life: u64,
    ) -> impl Future<Output = Result<(Arc<Member>, MasterKey), String>> + Send + 'static {
        let (wires, settings, dice) = (Arc::clone(&self.wires), self.settings.clone(), self.dice.split());
        let (defects, faults) = (self.history.plant().defects(), Arc::clone(&self.faults));
        async move {
            let failed = |error: std::io::Error| error.to_string();
            let own = turnover::take_up(&computer.disk, &scope)?;
            let bound = PurgeBound::none();
            let engine = DiskEngine::open(Arc::clone(&computer.disk), dice);
            let folder: Arc<dyn Folder> = Arc::new(DiskFolder::of_snapshots(Arc::clone(&computer.disk)));
            let snapshots = SnapshotStore::open_in(Arc::clone(&folder), bound.clone()).map_err(failed)?;
            let blocking: Arc<dyn Blocking> = Arc::new(OnTheSpot(faults));
            let storage = Storage::assemble(Arc::new(engine), snapshots, bound, Arc::clone(&blocking))
                .map_err(failed)?;
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
                incoming: folder,
                blocking,
                salt: (computer.id << 32) + (life << 20),
                defects,
            };
            let member = Replica::start(parts).await.map_err(|error| error.to_string())?;
            Ok((member, own))
        }
    }

    /// Kills a node as a power cut does: what its disk had not synced is lost, fully or in part. But for damage its disk is
    /// good again when it starts next.
    pub fn kill(&self, computer: &Computer) {
        let node = {
            let mut running = lock(&computer.running);
            let node = running.node.take();
            running.knew = node.iter().flat_map(|(_, member)| named_by(member)).collect();
            node
        };
        let Some((scope, member)) = node else { return };
        self.wires.unplug(computer.id);
        scope.kill();
        drop(member);
        let (lost, tail) = computer.disk.crash(&self.dice);
        if lost > 0 {
            // Who came last may be in what was lost.
            lock(&computer.running).knew.clear();
        }
        if let Some(fault) = tail {
            self.faults.count(fault);
        }
        computer.disk.end_life();
        computer.floor.iter().for_each(|floor| floor.crash(&self.dice));
        self.history.tell(&Event::Killed { node: computer.id, lost });
    }

    /// Ends everything, so that nothing holds on to anything.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
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
    let outcome = proposed(computer, actor, action).await?;
    match outcome.refusal() {
        Some(refusal) => Err(refusal.to_string()),
        None => Ok(outcome),
    }
}

/// The same, where a refusal is told as what came of it.
async fn proposed(computer: &Computer, actor: Actor, action: Action) -> Result<Outcome, String> {
    let command = Command { actor, action }.encode();
    let proposed = ask(computer, |member| async move {
        let committed = member.propose(command).await.map_err(|error| error.to_string())?;
        floor::may_acknowledge(&member, committed.index).await?;
        Ok::<_, String>(committed)
    });
    let committed = proposed.await.ok_or("the node died")??;
    Outcome::decode(&committed.outcome).map_err(|error| error.to_string())
}
