//! Nodes that were given up when another generation began, and the node that tells them. What it says and how often, and what
//! they do when they hear it are the product's own lines.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use circlet_raft::folder::Folder;
use circlet_raft::network::succession;
use circlet_raft::{DialError, Dismissed, NodeId, Peer, Unconfirmed};
use futures::future::join_all;
use openraft_rt::AsyncRuntime;

use super::{Cluster, Computer};
use crate::disk::{Disk, DiskFolder};
use crate::fault::Faults;
use crate::history::{Event, History};
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::{self, Scope, lock};
use crate::telling;
use crate::wires::{Plug, Wires};

/// The note among the files of a node that it was given up.
const NOTE: &str = "superseded.json";
/// One conversation may take this long.
const WAIT: Duration = Duration::from_secs(10);

/// Whether the node of this disk has written down that it was given up.
pub fn is_given_up(disk: &Arc<Disk>) -> bool {
    DiskFolder::of_keys(Arc::clone(disk)).bytes(NOTE).is_ok()
}

/// What a node does that is told by another one that the cluster goes on in this generation: it writes that down, if it comes
/// later than its own.
pub(crate) fn hear(
    (scope, disk, member): (&Scope, &Arc<Disk>, &Member),
    from: NodeId,
    generation: u64,
) -> Result<(), Unconfirmed> {
    let plant = scope.history().plant();
    let view = Arc::clone(&member.published().view);
    if generation <= view.generation() || plant == Plant::DeafToSuccession {
        return Err(Unconfirmed::NotBelieved(format!("generation {generation} is none that comes later")));
    }
    // Its view may be of before, and so its log has the word but on who is gone. Whose log doesn't have itself yet goes by whom
    // it was told of when it joined.
    let members = member.status().members;
    let is_in = members.contains_key(&from) || !members.contains_key(&scope.node());
    let known = is_in && view.removed_node(from).is_none();
    scope.history().tell(&Event::Superseded { node: scope.node(), by: from, known });
    if plant == Plant::UnkeptWord {
        return Ok(());
    }
    let folder = DiskFolder::of_keys(Arc::clone(disk));
    let written = folder
        .create(NOTE)
        .and_then(|mut file| file.write_all(&generation.to_be_bytes()))
        .and_then(|()| folder.sync(NOTE))
        .and_then(|()| folder.sync_names());
    written.map_err(|error| Unconfirmed::NotKept(error.to_string()))
}

/// Who began a generation, as those know it that were given up then.
pub struct Former {
    /// What it is now.
    teller: NodeId,
    /// What it was.
    me: NodeId,
    goes_on_in: u64,
    /// Between those that were given up.
    wires: Arc<Wires>,
    /// Theirs.
    history: Arc<History>,
    /// Who doesn't know yet.
    open: Mutex<BTreeMap<NodeId, Peer>>,
}

impl Former {
    /// Who `teller` was to these, whose generation ended with `goes_on_in`.
    pub fn of(left: &Computer, given_up: &Cluster, (teller, goes_on_in): (NodeId, u64)) -> Arc<Self> {
        let peers = given_up.computers().into_iter().map(|computer| (computer.id, computer.peer()));
        Arc::new(Self {
            teller,
            me: left.id,
            goes_on_in,
            wires: Arc::clone(&given_up.wires),
            history: Arc::clone(&given_up.history),
            open: Mutex::new(peers.collect()),
        })
    }

    /// Whether all have said that they know.
    pub fn all_know(&self) -> bool {
        lock(&self.open).is_empty()
    }
}

impl telling::Former for Former {
    type Failure = Infallible;

    async fn announce(&self, to: NodeId, peer: &Peer) -> Result<(), DialError> {
        let dial = Plug { wires: Arc::clone(&self.wires), me: self.me };
        let telling = succession::announce(&dial, to, peer, self.goes_on_in);
        let told = NodeRuntime::timeout(WAIT, telling).await;
        let told = told.unwrap_or_else(|_| Err("it took too long".into()));
        if told.is_ok() {
            self.history.tell(&Event::KnowsItIsGivenUp { node: to });
        }
        told
    }

    async fn note(&self, id: NodeId) -> Result<(), Infallible> {
        lock(&self.open).remove(&id);
        Ok(())
    }

    async fn pause(&self, about: Duration) {
        NodeRuntime::sleep(about).await;
    }
}

impl Cluster {
    /// The nodes of a cluster but one, which live on without it, in a history of their own.
    pub fn without(&self, left: &Computer, history: &Arc<History>) -> Arc<Self> {
        let faults: Arc<Faults> = self.faults.beside(history.midst());
        let rest = Self::new(&self.service, Arc::clone(history), &self.dice, self.settings(), faults);
        rest.wires.learn_key(left.id, left.peer().public_key);
        *lock(&rest.computers) = self.computers();
        lock(&rest.computers).retain(|computer| computer.id != left.id);
        rest
    }

    /// Has the node that began this generation tell those that it gave up, whenever it runs.
    pub fn tells(&self, former: &Arc<Former>) {
        *lock(&self.former) = Some(Arc::clone(former));
        let teller = self.computers().into_iter().find(|computer| computer.id == former.teller);
        if let Some((scope, _)) = teller.and_then(|teller| teller.node()) {
            scope.enter(|| drop(NodeRuntime::spawn(tell_all(Arc::clone(former)))));
        }
    }

    /// The part of a node that starts in telling others that they were given up.
    pub(super) fn take_up_telling(&self, scope: &Arc<Scope>) {
        let former = lock(&self.former).clone().filter(|former| former.teller == scope.node());
        if let Some(former) = former {
            scope.enter(|| drop(NodeRuntime::spawn(tell_all(former))));
        }
    }
}

async fn tell_all(former: Arc<Former>) {
    let open: Vec<(NodeId, Peer)> = lock(&former.open).clone().into_iter().collect();
    join_all(open.iter().map(|(id, peer)| telling::tell(&*former, *id, peer))).await;
}

/// Stops a node as soon as it was told that it was given up; whoever looks after it kills what is left of it.
pub(super) async fn stop_if_given_up(member: Arc<Member>) -> Option<(String, bool)> {
    let dismissed = member.dismissed();
    drop(member);
    let Dismissed::Superseded { generation } = dismissed.await else { return None };
    let scope = scope::current()?;
    if scope.history().plant() != Plant::StaysOn {
        scope.freeze();
    }
    Some((format!("it was given up: the cluster goes on in generation {generation}"), true))
}
