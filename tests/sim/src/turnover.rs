//! A simulated node as a custodian of the master key: the product's own steps on its files, its memory and its log.

use std::sync::{Arc, Weak};
use std::time::Duration;

use circlet_authority::{
    Action, Actor, Command, KeyState, Outcome, Refusal, ReplaceSecrets, Resealed, SealedKind, State,
};
use circlet_raft::folder::Folder;
use circlet_raft::{Clocks, Gate, NodeId, Role, Unconfirmed};
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft_rt::AsyncRuntime;
use tokio::sync::Mutex;

use crate::cluster::{Cluster, Computer, hear};
use crate::dice::Dice;
use crate::disk::{Disk, DiskFolder};
use crate::history::Event;
use crate::house::{self, Pair};
use crate::machine::{Member, first_word};
use crate::plant::{self, Plant};
use crate::runtime::NodeRuntime;
use crate::scope::Scope;
use crate::sealing::MasterKey;
use crate::vouch;

#[path = "../../../src/turnover/asking.rs"]
pub mod asking;
#[path = "../../../src/turnover/custodian.rs"]
pub mod custodian;
#[path = "../../../src/turnover/driving.rs"]
pub mod driving;
#[path = "../../../src/turnover/keeping.rs"]
pub mod keeping;

mod remedy;

pub use remedy::{copied, damage, opens_well};

use custodian::{Custodian, Master, Place};
use driving::{Due, LOST_PATIENCE_SECS};

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(250);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// The file with the key that is in force.
const PRESENT: &str = "master.key";
/// The file with the one that is on its way.
const NEXT: &str = "next-master.key";

const fn name_of(place: Place) -> &'static str {
    match place {
        Place::Present => PRESENT,
        Place::Next => NEXT,
    }
}

/// Puts a key on the disk of a node that is down.
pub fn place(disk: &Arc<Disk>, key: &MasterKey) -> Result<(), String> {
    write(&DiskFolder::of_keys(Arc::clone(disk)), PRESENT, key)
}

/// What a node that starts finds on its disk: it holds that in memory, and tells it. Returns the key in force.
pub fn take_up(disk: &Arc<Disk>, scope: &Scope) -> Result<MasterKey, String> {
    tell_kept(disk, scope);
    let folder = DiskFolder::of_keys(Arc::clone(disk));
    let present = read(&folder, PRESENT).or_else(|why| plant::made_up_key(scope).ok_or(why));
    let present = present.inspect_err(|_| disk.set(|habits| habits.key_problem = true))?;
    scope.ring().hold(&present);
    if let Ok(next) = read(&folder, NEXT) {
        scope.ring().hold(&next);
    }
    Ok(present)
}

/// Tells which keys a power cut would leave on the disk.
fn tell_kept(disk: &Disk, scope: &Scope) {
    let keys = disk.durable_keys().into_iter().filter_map(|bytes| MasterKey::read(&bytes));
    let kept = keys.map(|key| first_word(&key.fingerprint())).collect();
    scope.history().tell(&Event::KeysKept { node: scope.node(), kept });
}

fn read(folder: &DiskFolder, name: &str) -> Result<MasterKey, String> {
    let mut bytes = Vec::new();
    let opened = folder.open(name).and_then(|mut file| file.read_to_end(&mut bytes));
    opened.map_err(|error| format!("{name}: {error}"))?;
    MasterKey::read(&bytes).ok_or_else(|| format!("{name} holds no key"))
}

/// As the product writes what must not be lost: aside, synced, and only then under its name.
fn write(folder: &DiskFolder, name: &str, key: &MasterKey) -> Result<(), String> {
    let aside = format!(".{name}");
    let written = folder
        .create(&aside)
        .and_then(|mut file| file.write_all(key.as_bytes()))
        .and_then(|()| folder.sync(&aside))
        .and_then(|()| folder.rename(&aside, name))
        .and_then(|()| folder.sync_names());
    written.map_err(|error| {
        // As the product does, so that what is left of it takes no room. The error is what counts.
        let _ = folder.remove(&aside);
        format!("{name}: {error}")
    })
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotTurned(String);

impl From<String> for NotTurned {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<Refusal> for NotTurned {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.to_string())
    }
}

/// A running node, with the disk of its computer.
#[derive(Clone)]
pub struct Keeper {
    /// The node.
    pub member: Arc<Member>,
    /// Its present life.
    pub scope: Arc<Scope>,
    /// Where its key files are.
    pub disk: Arc<Disk>,
    /// What its keys are drawn from.
    pub dice: Dice,
}

impl Keeper {
    fn has(&self, plant: Plant) -> bool {
        self.scope.history().plant() == plant
    }

    fn folder(&self) -> DiskFolder {
        DiskFolder::of_keys(Arc::clone(&self.disk))
    }

    /// Has the node answer what other members ask.
    pub(crate) fn open_door(&self) {
        let (scope, disk, dice) = (Arc::clone(&self.scope), Arc::clone(&self.disk), self.dice.clone());
        self.member.tell_by(Arc::new(Door { member: Arc::downgrade(&self.member), scope, disk, dice }));
    }

    /// A node's part in turning the master key over, as long as it runs. `own` is the key that it started with.
    pub(crate) async fn run(self, own: MasterKey) {
        loop {
            NodeRuntime::sleep(LOOK).await;
            let looked = self.look().await;
            self.end_if_left_alone(&own).await;
            if looked.is_err() {
                NodeRuntime::sleep(RETRY).await;
            }
        }
    }

    async fn look(&self) -> Result<(), NotTurned> {
        let kept = keeping::keep(self).await;
        let view = self.view();
        if self.member.status().role == Role::Leader {
            self.lead(&view).await?;
        }
        kept
    }

    async fn lead(&self, view: &State) -> Result<(), NotTurned> {
        match driving::due(view, self.now_ms(view)) {
            None => {}
            Some(Due::Turn(next)) => drop(driving::drive(self, view, next).await?),
            Some(Due::Announce(present)) => {
                keeping::announce(self, Actor::System, present, LOST_PATIENCE_SECS).await?;
            }
            Some(Due::Replace) => self.replace_secrets(view).await?,
        }
        Ok(())
    }

    /// Other secrets in the place of all that lost nodes knew.
    async fn replace_secrets(&self, view: &State) -> Result<(), NotTurned> {
        let service = view.service_id().ok_or_else(|| "there is no cluster".to_owned())?;
        let lacking = || "this node lacks the master key".to_owned();
        let master = house::master_key(self.scope.ring(), view).ok_or_else(lacking)?;
        let name = format!("after a loss, {}", self.dice.word());
        let (ca, refresh_secret) = house::secrets(&name, &master);
        let replace = ReplaceSecrets {
            ca_replaces: view.cluster_ca_certificate().unwrap_or_default().to_vec(),
            ca,
            refresh_secret,
            key: Pair::named(service, &name).as_ours(&master),
        };
        self.decide(Actor::System, Action::ReplaceSecrets(Box::new(replace))).await?;
        for key in view.keyring().filter(|key| key.state != KeyState::Tainted) {
            self.scope.history().tell_abroad(&Event::TaintedAbroad { kid: key.kid.clone() });
        }
        Ok(())
    }

    /// As the product's node does when nobody gives it the key any more. Whoever looks after it kills what is left of it.
    async fn end_if_left_alone(&self, own: &MasterKey) {
        let lacks =
            |view: &State| view.master_key_fingerprint().is_some_and(|present| self.held(&present).is_none());
        if !lacks(&self.view()) || self.has(Plant::MadeUpKey) {
            return;
        }
        let Ok(view) = self.fresh().await else { return };
        if lacks(&view) && keeping::is_left_alone(&view, &own.fingerprint()) {
            let why = "nobody gives it the master key".to_owned();
            let (node, expected) = (self.scope.node(), self.disk.habits().key_damaged);
            self.scope.history().tell(&Event::Stopped { node, why, expected });
            self.disk.set(|habits| habits.key_problem = true);
            self.scope.freeze();
        }
    }
}

impl Custodian for Keeper {
    type Key = MasterKey;
    type Failure = NotTurned;

    fn id(&self) -> NodeId {
        self.scope.node()
    }

    fn view(&self) -> Arc<State> {
        Arc::clone(&self.member.published().view)
    }

    fn is_fresh(&self) -> bool {
        vouch::is_fresh(&self.member.published(), self.scope.now())
    }

    async fn fresh(&self) -> Result<Arc<State>, String> {
        if self.has(Plant::GiveUnproved) {
            return Ok(self.view());
        }
        let published = self.member.fresh(None).await.map_err(|error| error.0)?;
        Ok(Arc::clone(&published.view))
    }

    fn now_ms(&self, view: &State) -> u64 {
        self.scope.wall_ms().max(view.now_ms())
    }

    async fn decide(&self, actor: Actor, action: Action) -> Result<u64, NotTurned> {
        let command = Command { actor, action }.encode();
        let committed = self.member.propose(command).await.map_err(|error| error.to_string())?;
        let outcome = Outcome::decode(&committed.outcome).map_err(|error| error.to_string())?;
        outcome.refusal().map_or(Ok(committed.index), |refusal| Err(refusal.clone().into()))
    }

    async fn ask(&self, member: NodeId, question: Vec<u8>, wait: Duration) -> Result<Vec<u8>, String> {
        let present = self.view().master_key_fingerprint();
        if self.has(Plant::DeafSleeper) && present.is_some_and(|present| question.ends_with(&present)) {
            return Err("it isn't asked".to_owned());
        }
        self.member.ask_member(member, question, wait).await
    }

    fn generate(&self) -> MasterKey {
        let key = MasterKey::named(&format!("{}", self.dice.word()));
        self.scope.history().note_master_key(&key);
        key
    }

    fn held(&self, fingerprint: &[u8; 32]) -> Option<MasterKey> {
        self.scope.ring().of(fingerprint)
    }

    fn hold(&self, key: &MasterKey) {
        self.scope.ring().hold(key);
    }

    fn reseal(&self, view: &State, which: &SealedKind, under: &MasterKey) -> Result<Resealed, NotTurned> {
        let unusable = || format!("this node can't open {which:?}");
        let sealed = view.sealed(which).ok_or_else(unusable)?;
        let present = self.held(&sealed.under).ok_or_else(unusable)?;
        let secret = present.open(which, sealed).ok_or_else(unusable)?;
        Ok(Resealed { replaces: sealed.nonce, sealed: under.seal(which, &secret) })
    }

    fn filing(&self) -> &Mutex<()> {
        &self.scope.ring().filing
    }

    fn read(&self, place: Place) -> Result<MasterKey, NotTurned> {
        Ok(read(&self.folder(), name_of(place))?)
    }

    fn write(&self, place: Place, key: &MasterKey) -> Result<(), NotTurned> {
        let place = if self.has(Plant::EarlyKeyFile) { Place::Present } else { place };
        let mut written = write(&self.folder(), name_of(place), key);
        if self.has(Plant::UnwrittenKeys) && self.disk.habits().key_refused {
            written = Ok(());
        }
        tell_kept(&self.disk, &self.scope);
        Ok(written?)
    }

    fn promote(&self) -> Result<(), NotTurned> {
        let folder = self.folder();
        let promoted = folder.rename(NEXT, PRESENT).and_then(|()| folder.sync_names());
        tell_kept(&self.disk, &self.scope);
        promoted.map_err(|error| error.to_string().into())
    }

    fn forget_next(&self) -> Result<bool, NotTurned> {
        let folder = self.folder();
        if folder.bytes(NEXT).is_err() {
            return Ok(false);
        }
        let removed = folder.remove(NEXT).and_then(|()| folder.sync_names());
        tell_kept(&self.disk, &self.scope);
        removed.map(|()| true).map_err(|error| error.to_string().into())
    }

    fn tell_problem(&self, problem: Option<String>) {
        let tells = problem.is_some() && !self.has(Plant::MadeUpKey);
        self.disk.set(|habits| habits.key_problem = tells);
        if let Some(what) = problem {
            self.scope
                .history()
                .tell(&Event::Fault { what: format!("the key file of {}: {what}", self.id()) });
        }
    }
}

/// Answers what the other members ask a node. The node holds it, and so it holds on to no node.
struct Door {
    member: Weak<Member>,
    scope: Arc<Scope>,
    disk: Arc<Disk>,
    dice: Dice,
}

impl Gate for Door {
    fn admit(&self, _: [u8; 32], _: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        async { Err("nodes join by another way here".to_owned()) }.boxed()
    }

    fn tell(&self, from: NodeId, question: Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, String>> {
        let keeper = self.member.upgrade().map(|member| Keeper {
            member,
            scope: Arc::clone(&self.scope),
            disk: Arc::clone(&self.disk),
            dice: self.dice.clone(),
        });
        async move {
            let keeper = keeper.ok_or_else(|| "the node has ended".to_owned())?;
            asking::give(&keeper, from, &question).await
        }
        .boxed()
    }

    fn superseded(&self, from: NodeId, generation: u64) -> BoxFuture<'static, Result<(), Unconfirmed>> {
        let (member, scope, disk) = (self.member.upgrade(), Arc::clone(&self.scope), Arc::clone(&self.disk));
        async move {
            let member = member.ok_or_else(|| Unconfirmed::NotKept("the node has ended".to_owned()))?;
            hear((&scope, &disk, &member), from, generation)
        }
        .boxed()
    }
}

/// What a cluster lacks of keeping its master key well: each node opens what its state seals, and would after a restart;
/// no key is on its way that could come to something.
///
/// # Errors
/// What is amiss.
pub fn keeps_well(cluster: &Cluster) -> Result<(), String> {
    for computer in cluster.computers() {
        let id = computer.id;
        let (scope, member) = computer.node().ok_or_else(|| format!("node {id} is down"))?;
        let view = Arc::clone(&member.published().view);
        let present = view.master_key_fingerprint().ok_or("there is no master key")?;
        if scope.ring().of(&present).is_none() {
            return Err(format!("node {id} can't open what its state seals"));
        }
        let filed = read(&DiskFolder::of_keys(Arc::clone(&computer.disk)), PRESENT)?;
        if filed.fingerprint() != present {
            return Err(format!("node {id} could not open what its state seals after a restart"));
        }
        if let Some(lost) = view.lost_nodes_pending().next() {
            return Err(format!("what the lost node {} knew is not replaced", lost.id));
        }
        let now_ms = scope.wall_ms().max(view.now_ms());
        let comes = view.next_master_key().filter(|next| {
            !view.is_master_key_given_up(next, now_ms) && !is_nowhere(cluster, &next.fingerprint)
        });
        if let Some(why) = comes.and_then(|next| view.master_key_waits(next, now_ms)) {
            return Err(format!("a master key is on its way for ever: {why}"));
        }
        if comes.is_some() {
            return Err("a master key is on its way, and nothing is waited for".to_owned());
        }
    }
    Ok(())
}

/// Whether a master key is gone that was on its way, since files were damaged that had it. It is given up in time.
fn is_nowhere(cluster: &Cluster, fingerprint: &[u8; 32]) -> bool {
    let has = |computer: &Arc<Computer>| {
        let held = computer.node().is_some_and(|(scope, _)| scope.ring().of(fingerprint).is_some());
        let filed = read(&DiskFolder::of_keys(Arc::clone(&computer.disk)), NEXT);
        held || filed.is_ok_and(|key| key.fingerprint() == *fingerprint)
    };
    cluster.history.was_damaged(fingerprint) && !cluster.computers().iter().any(has)
}
