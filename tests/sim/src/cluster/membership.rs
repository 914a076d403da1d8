//! How a cluster begins, and how nodes come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use circlet_authority::{
    Action, Actor, AdmitByKey, AdmitNode, Config, DeclareLost, MintJoinToken, Outcome, Refusal,
};
use circlet_raft::{NodeId, Peer};
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use super::{Cluster, Computer, Newcomer, ask, decide, proposed};
use crate::fault::Fault;
use crate::floor;
use crate::history::Event;
use crate::house;
use crate::midst::Change;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;
use crate::scope::lock;
use crate::sealing::MasterKey;
use crate::turnover;

/// Between two attempts at the same step.
const RETRY: Duration = Duration::from_millis(100);

/// Of so many of a hundred computers that are lost somebody may have the disk.
const LOST_PERCENT: u64 = 40;

/// Of so many of a hundred nodes that are let in one may not be what it seems.
const LIARS_PERCENT: u64 = 20;

/// One attempt at one step takes this long at most.
const STEP: Duration = Duration::from_secs(4);

impl Cluster {
    /// Founds the cluster and has `count` nodes join.
    pub async fn found(self: &Arc<Self>, count: u64, config: Config) -> Result<(), String> {
        let founder = self.add(1, Newcomer::first(peer("n1", 0)), self.new_clock());
        let master = house::first_master_key(&self.service);
        self.history.note_master_key(&master);
        turnover::place(&founder.disk, &master)?;
        self.start(&founder).await;
        let peer = founder.peer();
        ask(&founder, |member| async move { member.initialize(peer).await.map_err(|e| e.to_string()) })
            .await
            .ok_or("the founder died")??;
        let bootstrap = house::bootstrap(&founder.peer(), &self.service, config, founder.version());
        decide(&founder, Actor::System, bootstrap).await?;
        for action in house::furniture() {
            decide(&founder, Actor::Operator, action).await?;
        }
        self.gather(count, 0).await
    }

    /// One more node that never votes joins a cluster that was just founded.
    pub async fn found_onlooker(self: &Arc<Self>) -> Result<(), String> {
        let joining = NodeRuntime::timeout(Duration::from_mins(1), self.join("onlooker", 0, false));
        joining.await.map_err(|_| "no node can join that never votes")?;
        self.until_all_know_all().await
    }

    /// Has nodes join until there are `count`. `attempt` makes their keys other than those of before.
    pub(super) async fn gather(self: &Arc<Self>, count: u64, attempt: u64) -> Result<(), String> {
        for number in 2..=count {
            let name = format!("n{number}");
            let joining = NodeRuntime::timeout(Duration::from_mins(1), self.join(&name, attempt, true));
            joining.await.map_err(|_| format!("{name} can't join"))?;
        }
        self.until_all_know_all().await
    }

    async fn until_all_know_all(&self) -> Result<(), String> {
        for _ in 0..600 {
            NodeRuntime::sleep(Duration::from_millis(50)).await;
            if self.computers().iter().all(|computer| self.knows_all(computer)) {
                return Ok(());
            }
        }
        Err("not all nodes know of all, and who votes".to_owned())
    }

    /// Whether a node runs that knows exactly the nodes of our computers, where each is, and whether it votes.
    pub fn knows_all(&self, computer: &Computer) -> bool {
        let Some((_, member)) = computer.node() else { return false };
        let members = member.status().members;
        let computers = self.computers();
        let known = |computer: &Arc<Computer>| {
            let member = members.get(&computer.id);
            member.is_some_and(|known| known.voter == computer.votes && known.peer == computer.peer())
        };
        members.len() == computers.len() && computers.iter().all(known)
    }

    /// How many of our computers have a vote, or are to have one.
    pub fn voters(&self) -> usize {
        self.computers().iter().filter(|computer| computer.votes).count()
    }

    /// Repeats a step through one running node after the other until it succeeds.
    async fn persist<T, F>(&self, step: impl Fn(Arc<Computer>) -> F) -> T
    where
        F: Future<Output = Result<T, String>> + Send,
        T: Send,
    {
        loop {
            if let Some(through) = self.dice.pick(&self.running()).cloned() {
                let node = through.id;
                let why = match NodeRuntime::timeout(STEP, step(through)).await {
                    Ok(Ok(done)) => return done,
                    Ok(Err(why)) => why,
                    Err(_) => "it took too long".to_owned(),
                };
                self.history.tell(&Event::Fault { what: format!("no change through {node}: {why}") });
            }
            NodeRuntime::sleep(RETRY).await;
        }
    }

    /// Lets one more node join, which is to vote or never does. `attempt` counts those of this name that were there before.
    pub async fn join(self: &Arc<Self>, name: &str, attempt: u64, votes: bool) -> Arc<Computer> {
        self.join_as(None, name, attempt, votes).await
    }

    /// The same; where a bug is planted, under an id that is not its own.
    async fn join_as(
        self: &Arc<Self>,
        planted: Option<NodeId>,
        name: &str,
        attempt: u64,
        votes: bool,
    ) -> Arc<Computer> {
        let newcomer = self.newcomer(peer(name, attempt), votes);
        let version = AtomicU32::new(self.version_of_newcomer());
        let (given, master) = self.admit(&newcomer, &version).await;
        let id = planted.unwrap_or(given);
        if !votes {
            self.history.tell(&Event::NeverVotes { node: id });
        }
        if self.dice.percent(LIARS_PERCENT) {
            self.let_newcomer_lie(given).await;
        }
        // Whoever moved while it was let in.
        let newcomer = Newcomer { introduced: self.introduced(), ..newcomer };
        let computer = self.add(id, newcomer, self.new_clock());
        computer.install(version.into_inner());
        self.place(&computer, &master);
        self.bring_in(&computer).await;
        computer
    }

    fn newcomer(&self, peer: Peer, votes: bool) -> Newcomer {
        Newcomer { peer, votes, introduced: self.introduced() }
    }

    fn introduced(&self) -> Vec<(NodeId, Peer)> {
        self.computers().iter().map(|known| (known.id, known.peer())).collect()
    }

    /// Waits until the leader knows where a node is, and counts its vote, if it is to have one.
    pub async fn counts(&self, computer: &Computer) {
        let counts = |leader: Arc<Computer>| {
            let members = leader.node().map(|(_, member)| member.status().members).unwrap_or_default();
            let known = members.get(&computer.id);
            known.is_some_and(|known| known.voter == computer.votes && known.peer == computer.peer())
        };
        while !self.leader().is_some_and(counts) {
            NodeRuntime::sleep(RETRY).await;
        }
    }

    /// Puts the master key on the disk of a new computer.
    fn place(&self, computer: &Computer, master: &MasterKey) {
        if let Err(why) = turnover::place(&computer.disk, master) {
            self.history.accuse("liveness", format!("a new disk takes no key: {why}"));
        }
    }

    /// Redeems a join token for a node, or has it let in by the join key, where that is allowed. It is given the master key of
    /// the view that let it in. Each step may be repeated. A node that is too old is given a newer version, and asks again.
    async fn admit(&self, newcomer: &Newcomer, version: &AtomicU32) -> (NodeId, MasterKey) {
        let secret = digest(&[b"join ", &newcomer.peer.public_key]);
        let has_key = self.dice.percent(50);
        self.persist(|through| {
            let allowed = through.node().is_some_and(|(_, member)| {
                let config = Arc::clone(member.published().view.config());
                config.join_allow_key
            });
            let supports = version.load(Ordering::SeqCst);
            let join_token = (!(has_key && allowed)).then_some(secret);
            let admit = admission(newcomer, join_token, supports);
            async move {
                let mint = Action::MintJoinToken(MintJoinToken { hash: secret });
                // Refused once it has been redeemed; then the redeeming is repeated.
                let _ = decide(&through, Actor::Operator, mint).await;
                let node = match proposed(&through, Actor::System, admit).await? {
                    Outcome::Joined { node } => node,
                    Outcome::Refused(refusal) => {
                        if let Refusal::NodeTooOld { level, .. } = *refusal {
                            self.faults.count(Fault::OlderJoiner);
                            version.store(level, Ordering::SeqCst);
                        }
                        return Err(refusal.to_string());
                    }
                    other => return Err(format!("not admitted: {other:?}")),
                };
                let (scope, member) = through.node().ok_or("the helper died")?;
                let master = house::master_key(scope.ring(), &member.published().view);
                Ok((node, master.ok_or("the helper lacks the master key")?))
            }
        })
        .await
    }

    /// Starts an admitted node, and has it taken into the membership.
    async fn bring_in(self: &Arc<Self>, computer: &Arc<Computer>) {
        let (id, peer) = (computer.id, &computer.peer());
        self.wires.learn_key(id, peer.public_key);
        self.start(computer).await;
        self.persist(|through| {
            let peer = peer.clone();
            async move {
                let added = ask(&through, move |member| async move { member.add_learner(id, peer).await });
                added.await.ok_or("the helper died")?.map_err(|error| error.to_string())
            }
        })
        .await;
    }

    /// Takes a node out of the membership. It may go on running, and then notices.
    pub async fn remove(self: &Arc<Self>, computer: &Computer) {
        computer.leaving.store(true, Ordering::SeqCst);
        let id = computer.id;
        self.persist(|through| async move {
            if through.id == id {
                return Err("a node doesn't remove itself".to_owned());
            }
            let removed = ask(&through, move |member| async move {
                member.remove(id).await.map_err(|error| error.to_string())?;
                if !member.published().view.floor_is_required() {
                    return Ok(());
                }
                let removed = member.fresh(None).await.map_err(|error| error.0)?.index;
                floor::may_acknowledge(&member, removed).await
            });
            removed.await.ok_or("the helper died")?
        })
        .await;
        self.history.tell(&Event::Removed { node: id });
        self.let_steal(id);
    }

    /// Says that somebody may have the disk of a removed node: all that it knew is to be replaced, and nobody joins before.
    async fn declare_lost(&self, id: NodeId) {
        self.faults.count(Fault::DeclaredLost);
        self.history.tell(&Event::Fault { what: format!("somebody may have the disk of {id}") });
        let declare = Action::DeclareLost(DeclareLost { node: id });
        self.persist(|through| {
            let declare = declare.clone();
            async move {
                match decide(&through, Actor::Operator, declare).await? {
                    Outcome::Done => Ok(()),
                    other => Err(format!("not declared lost: {other:?}")),
                }
            }
        })
        .await;
        self.history.midst().goad(Change::LostSecrets, &self.dice);
    }

    /// The computer is thrown away, with its disk.
    pub fn discard(&self, computer: &Computer) {
        computer.gone.store(true, Ordering::SeqCst);
        self.kill(computer);
        lock(&self.computers).retain(|known| known.id != computer.id);
    }

    /// A computer is lost with its disk; another one takes its place in the cluster, under a new id.
    pub async fn replace(self: &Arc<Self>, lost: &Arc<Computer>) {
        self.discard(lost);
        let (name, attempt) = (lost.peer().name, lost.id);
        if self.history.plant() == Plant::ReusedId {
            let newcomer = self.newcomer(peer(&name, attempt), lost.votes);
            let computer = self.add(lost.id, newcomer, self.new_clock());
            self.place(&computer, &house::first_master_key(&self.service));
            return self.bring_in(&computer).await;
        }
        self.remove(lost).await;
        if self.dice.percent(LOST_PERCENT) {
            self.declare_lost(lost.id).await;
        }
        // One that is lost before the next one votes could be one too many.
        let planted = (self.history.plant() == Plant::RecycledId).then_some(lost.id);
        let next = self.join_as(planted, &name, attempt, lost.votes).await;
        self.counts(&next).await;
    }
}

/// How the others know a node; each attempt has a key of its own.
pub(super) fn peer(name: &str, attempt: u64) -> Peer {
    Peer {
        name: name.to_owned(),
        peer_address: format!("{name}:7000"),
        client_url: format!("https://{name}"),
        public_key: digest(&[b"key of ", name.as_bytes(), &attempt.to_be_bytes()]),
    }
}

/// The request of a node that supports so much, with a join token or by the join key.
fn admission(newcomer: &Newcomer, join_token: Option<[u8; 32]>, supports: u32) -> Action {
    let Newcomer { peer, votes, .. } = newcomer;
    let Peer { name, peer_address, client_url, public_key } = peer.clone();
    let by_key = AdmitByKey { name, peer_address, client_url, public_key, votes: *votes, supports };
    let Some(join_token) = join_token else { return Action::AdmitByKey(Box::new(by_key)) };
    let AdmitByKey { name, peer_address, client_url, public_key, votes, supports } = by_key;
    let by_token = AdmitNode { join_token, name, peer_address, client_url, public_key, votes, supports };
    Action::AdmitNode(Box::new(by_token))
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize().into()
}
