//! One member of the cluster: openraft, and around it what the promises need. Generic over the runtime, the network
//! and the store, so that a simulator runs the same code.

mod answer;
mod aside;
mod bad_disk;
mod decide;
mod introduction;
mod members;
mod roster;
mod status;
mod succession;
mod upkeep;
mod welcome;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use openraft::alias::LogIdOf;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::storage::RaftLogStorage;
use openraft::{AsyncRuntime, Membership, RaftMetrics, ReadPolicy};
use openraft_rt::Select2;
use tokio_util::sync::CancellationToken;

use crate::blocking::Blocking;
use crate::clock_watch::{Clocks, Dater, Instants, Offsets, Stamper};
use crate::defects::Defects;
use crate::failure::{Dismissed, NotFresh, OpenError};
use crate::folder::Folder;
use crate::freshness::{AskLeader, Prover, ReadIndex};
use crate::gate::Gate;
use crate::journal::{Durable, Journal};
use crate::machine::Machine;
use crate::network::acknowledged::{Acknowledged, Place, Standing};
use crate::network::addresses::Addresses;
use crate::network::calls::{CallError, Calls};
use crate::network::dismissal::{Attentive, Dismissal};
use crate::network::serve::{self, Answer, Connection, Inbox};
use crate::network::wire::{Ask, Said};
use crate::network::{Channel, Dial, Lane, Network, detach};
use crate::published::{Board, Published};
use crate::replica::introduction::Introductions;
use crate::settings::Settings;
use crate::snapshot_file::FileMachine;
use crate::sources::{SourceId, Sources};
use crate::trace::Observer;
use crate::types::{NodeId, Peer, Types};
use crate::watch;

/// What a replica is made of.
pub struct Parts<M: Machine, L, S> {
    /// Our id.
    pub id: NodeId,
    /// The log.
    pub log: L,
    /// The state machine; it publishes on `board`.
    pub state_machine: S,
    /// Where views are published.
    pub board: Arc<Board<M::View>>,
    /// What the log store tells about its size.
    pub journal: Arc<dyn Journal>,
    /// How peers are reached.
    pub dial: Arc<dyn Dial>,
    /// Where time comes from.
    pub clocks: Arc<dyn Clocks>,
    /// Timeouts and limits.
    pub settings: Settings,
    /// A lone node may stamp though its clock is far ahead of the state's time.
    pub accept_clock: bool,
    /// The peers that we were told of when we joined.
    pub introduced: Vec<(NodeId, Peer)>,
    /// Where snapshots are received.
    pub incoming: Arc<dyn Folder>,
    /// Where received snapshots are checked.
    pub blocking: Arc<dyn Blocking>,
    /// Where the nonces of this run begin; different for each run.
    pub salt: u64,
    /// What a simulator plants; none otherwise.
    pub defects: Defects,
}

/// A running replica.
pub struct Replica<M: Machine, R: AsyncRuntime, S: FileMachine<R>> {
    pub(crate) id: NodeId,
    pub(crate) raft: openraft::Raft<Types<R>, S>,
    pub(crate) board: Arc<Board<M::View>>,
    pub(crate) clocks: Arc<dyn Clocks>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) prover: Prover,
    journal: Arc<dyn Journal>,
    dial: Arc<dyn Dial>,
    calls: Arc<Calls<R>>,
    acknowledged: Arc<Acknowledged<R>>,
    /// We were removed, as a member says.
    dismissal: Arc<Dismissal>,
    addresses: Arc<Addresses>,
    /// Who is let in though our own log doesn't know it.
    introductions: Introductions,
    offsets: Mutex<Offsets>,
    /// What we proved of others while we led.
    sources: Mutex<Sources>,
    stamper: Mutex<Stamper>,
    dater: Mutex<Dater>,
    /// Our clock may not stamp.
    refused_stamp: Mutex<decide::Trouble>,
    /// When we last handed over for our clock though nobody's was known to be better, on the boot clock.
    left_for_clock: Mutex<Option<u64>>,
    accept_clock: bool,
    defects: Defects,
    introduced: Vec<(NodeId, Peer)>,
    /// Who answers what members ask beside the log, where there is anybody.
    gate: Mutex<Option<Arc<dyn Gate>>>,
    incoming: Arc<dyn Folder>,
    blocking: Arc<dyn Blocking>,
    /// Ends every task.
    stop: CancellationToken,
    stopped: watch::Sender<Option<String>>,
    /// How often another node led than before.
    leader_changes: AtomicU64,
    /// Who is told of proposals that carry a trace.
    observer: OnceLock<Arc<dyn Observer>>,
}

impl<M, R, S> Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    /// Starts a replica; it takes part from now on.
    pub async fn start<L>(parts: Parts<M, L, S>) -> Result<Arc<Self>, OpenError>
    where
        L: RaftLogStorage<Types<R>>,
    {
        let config = parts.settings.openraft(parts.defects).map_err(OpenError::Settings)?;
        let settings = Arc::new(parts.settings);
        let dial_timeout = Duration::from_millis(settings.dial_timeout_ms);
        let dismissal = Arc::new(Dismissal::new(None));
        let addresses = Arc::new(Addresses::default());
        let dial: Arc<dyn Dial> = Arc::new(Attentive {
            dial: parts.dial,
            dismissal: Arc::clone(&dismissal),
            addresses: Arc::clone(&addresses),
        });
        let calls = Arc::new(Calls::new(Arc::clone(&dial), dial_timeout));
        let acknowledged = Arc::new(Acknowledged::new(parts.defects));
        let network = Network {
            dial: Arc::clone(&dial),
            calls: Arc::clone(&calls),
            settings: Arc::clone(&settings),
            acknowledged: Arc::clone(&acknowledged),
        };
        let raft = openraft::Raft::new(parts.id, Arc::new(config), network, parts.log, parts.state_machine)
            .await
            .map_err(|fatal| OpenError::Data(fatal.to_string()))?;
        let replica = Arc::new(Self {
            id: parts.id,
            raft,
            board: parts.board,
            clocks: parts.clocks,
            prover: Prover::new(&settings, parts.defects),
            settings,
            journal: parts.journal,
            dial,
            calls,
            acknowledged,
            dismissal,
            addresses,
            introductions: Introductions::default(),
            offsets: Mutex::new(Offsets::default()),
            sources: Mutex::default(),
            stamper: Mutex::new(Stamper::default()),
            dater: Mutex::new(Dater::default()),
            refused_stamp: Mutex::default(),
            left_for_clock: Mutex::default(),
            accept_clock: parts.accept_clock,
            defects: parts.defects,
            introduced: parts.introduced,
            gate: Mutex::default(),
            incoming: parts.incoming,
            blocking: parts.blocking,
            stop: CancellationToken::new(),
            stopped: watch::Sender::new(None),
            leader_changes: AtomicU64::new(0),
            observer: OnceLock::new(),
        });
        if replica.defects.fresh_at_start {
            replica.board.prove(0, replica.clocks.now(), &[]);
        }
        replica.spawn_tasks(parts.salt);
        Ok(replica)
    }

    fn spawn_tasks(self: &Arc<Self>, salt: u64) {
        let this = Arc::clone(self);
        detach::<R>(async move {
            let (board, clocks) = (Arc::clone(&this.board), Arc::clone(&this.clocks));
            let proving = this.prover.run::<R, _, _>(board, clocks, Arc::clone(&this), salt);
            R::select2(this.stop.cancelled(), proving).await;
        });
        let this = Arc::clone(self);
        detach::<R>(async move {
            R::select2(this.stop.cancelled(), this.watch_clocks()).await;
        });
        let this = Arc::clone(self);
        detach::<R>(async move {
            R::select2(this.stop.cancelled(), this.keep_up()).await;
        });
        let this = Arc::clone(self);
        detach::<R>(async move {
            R::select2(this.stop.cancelled(), this.keep_acquaintance()).await;
        });
        let this = Arc::clone(self);
        detach::<R>(async move {
            R::select2(this.stop.cancelled(), this.supervise()).await;
        });
    }

    /// Has this one told of proposals that carry a trace; the first who asks for that is.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let _ = self.observer.set(observer);
    }

    /// Ends when the replica is shut down; for whoever brings it connections.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.clone().cancelled_owned()
    }

    /// Serves a connection of a member until it ends.
    pub async fn serve(self: Arc<Self>, from: NodeId, lane: Lane, channel: Channel) {
        if lane == Lane::Succession {
            R::select2(self.stop.cancelled(), self.hear_of_succession(from, channel)).await;
            return;
        }
        if lane == Lane::Roster {
            R::select2(self.stop.cancelled(), self.tell_roster(channel)).await;
            return;
        }
        let inbox = Inbox {
            folder: Arc::clone(&self.incoming),
            silence: Duration::from_millis(self.settings.snapshot_silence_ms),
            blocking: Arc::clone(&self.blocking),
        };
        if lane == Lane::Calls {
            // It may have been away, and have come back as another.
            let this = Arc::clone(&self);
            detach::<R>(async move {
                let peer = this.peer(from);
                let comparing = async {
                    if let Some(peer) = peer {
                        this.compare_with(from, peer).await;
                    }
                };
                R::select2(this.stop.cancelled(), comparing).await;
            });
        }
        let unwelcome = Box::pin(Arc::clone(&self).until_unwelcome(from));
        let connection = Connection { from, lane, channel, unwelcome };
        let serving = serve::serve(self.raft.clone(), Arc::clone(&self), inbox, connection);
        R::select2(self.stop.cancelled(), serving).await;
    }

    /// The present view with its index and freshness.
    pub fn published(&self) -> Arc<Published<M::View>> {
        self.board.load()
    }

    /// Resolves when the published view holds `index`; needs a deadline from its caller.
    pub async fn wait_index(&self, index: u64) {
        self.board.wait_index(index).await;
    }

    /// A view proven fresh as of an instant later than `newer_than`, or later than this call.
    pub async fn fresh(&self, newer_than: Option<Instants>) -> Result<Arc<Published<M::View>>, NotFresh> {
        self.prover.fresh::<R, _>(&self.board, newer_than).await.map_err(NotFresh)
    }

    /// What is recorded about a node that may connect: a member, or one that has been admitted.
    fn known(&self, id: NodeId) -> Option<Peer> {
        let admitted = || M::admitted(&self.board.load().view).into_iter().find(|(known, _)| *known == id);
        self.member(id).or_else(|| admitted().map(|(_, peer)| peer))
    }

    /// What is recorded about a member.
    fn member(&self, id: NodeId) -> Option<Peer> {
        self.metrics(|metrics| {
            let membership = metrics.membership_config.membership();
            membership.get_node(&id).cloned().or_else(|| self.introduced(id, membership))
        })
    }

    /// Whom we were told of when we joined, as long as we are no member by our own log: its first entries know fewer members
    /// than there are.
    fn introduced(&self, id: NodeId, membership: &Membership<NodeId, Peer>) -> Option<Peer> {
        let introduced = self.introduced.iter().find(|(known, _)| *known == id);
        introduced.filter(|_| membership.get_node(&self.id).is_none()).map(|(_, peer)| peer.clone())
    }

    /// Resolves once a member has said why we don't belong to the cluster any more.
    pub fn dismissed(&self) -> impl Future<Output = Dismissed> + Send + 'static {
        let dismissal = self.dismissal.subscribe();
        async move {
            match dismissal.wait_for(Option::is_some).await {
                Some(why) => why,
                None => std::future::pending().await,
            }
        }
    }

    /// Resolves with the reason when the replica has stopped itself.
    pub fn stopped(&self) -> impl Future<Output = String> + Send + 'static {
        let stopped = self.stopped.subscribe();
        async move { stopped.wait_for(Option::is_some).await.unwrap_or_default() }
    }

    /// Stops; a leader hands over first.
    pub async fn shutdown(&self) {
        if self.stop.is_cancelled() {
            return;
        }
        self.hand_over().await;
        self.stop.cancel();
        // It may hold us.
        lock(&self.gate).take();
        self.calls.close();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft didn't end well");
        }
    }

    /// Stops at once when openraft does: it has met what it can't vouch for.
    async fn supervise(&self) {
        let mut metrics = self.raft.metrics();
        let mut led = None;
        loop {
            let state = {
                let seen = metrics.borrow_watched();
                self.count_leaders(&mut led, seen.current_leader);
                seen.running_state.clone()
            };
            let reason = match (state, metrics.changed().await) {
                (Ok(()), Ok(())) => continue,
                (Err(fatal), _) => fatal.to_string(),
                (Ok(()), Err(_)) => "raft ended".to_owned(),
            };
            if !self.stop.is_cancelled() {
                tracing::error!(reason, "the node has stopped itself");
                self.stopped.set(Some(reason));
                self.stop.cancel();
                self.calls.close();
            }
            return;
        }
    }

    /// Counts whenever another node leads than did last; that nobody does for a while is no change by itself.
    fn count_leaders(&self, led: &mut Option<NodeId>, leads: Option<NodeId>) {
        if leads.is_some() && leads != *led {
            if led.is_some() {
                self.leader_changes.fetch_add(1, Ordering::Relaxed);
            }
            *led = leads;
        }
    }

    pub(crate) fn metrics<T>(&self, look: impl FnOnce(&RaftMetrics<Types<R>>) -> T) -> T {
        look(&self.raft.metrics().borrow_watched())
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.metrics(|metrics| metrics.current_leader)
    }

    fn peer(&self, id: NodeId) -> Option<Peer> {
        self.metrics(|metrics| metrics.membership_config.membership().get_node(&id).cloned())
    }

    /// What is on our disk. A view may be ahead of the disk: what is decided but not synced here doesn't count.
    fn standing(&self) -> Standing {
        // In this order: what was applied before stays in the log, what was in the log before may be overwritten.
        let applied = self.metrics(|metrics| metrics.last_applied.as_ref().map(place::<R>));
        let Durable { term, last } = self.journal.durable();
        Standing { term, last, decided: applied.unwrap_or_default().min(last) }
    }

    /// Asks the leader, who may be ourselves. A question that certainly didn't arrive is answered by `NotLeader`.
    async fn ask_leader(&self, ask: Ask<R>, ttl: Duration) -> Said<R> {
        let Some(leader) = self.leader() else { return Said::NotLeader(None) };
        if leader == self.id {
            return self.answer(self.id, ask).await;
        }
        let Some(peer) = self.peer(leader) else { return Said::NotLeader(None) };
        let call = self.calls.call(leader, &peer, ask, ttl);
        match R::select2(call, self.another_leads(leader)).await {
            Select2::First(Ok(said)) => said,
            Select2::First(Err(CallError::NotSent(_))) => Said::NotLeader(None),
            Select2::First(Err(CallError::Lost(reason))) => Said::Unknown(reason),
            Select2::Second(()) => Said::Unknown("another node leads since".to_owned()),
        }
    }

    /// Resolves a little after another node than `leader` is known to lead: its answer may still be on its way.
    async fn another_leads(&self, leader: NodeId) {
        let mut seen = self.raft.server_metrics();
        while seen.borrow_watched().current_leader.is_none_or(|now| now == leader) {
            if seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        R::sleep(Duration::from_millis(self.settings.election_min_ms)).await;
    }

    /// Notes that all that a source had decided before `noted` is in the published view. Told to the others with each
    /// read index, as long as we lead.
    pub fn prove_source(&self, source: SourceId, noted: Instants) {
        lock(&self.sources).note(source, noted);
    }

    /// Forgets what was proved of sources: somebody else leads.
    pub fn forget_sources(&self) {
        *lock(&self.sources) = Sources::default();
    }

    async fn confirm_read_index(&self, nonce: u64) -> Said<R> {
        // Before the read index: what was proved by now is in the log up to there.
        let ages = lock(&self.sources).ages(self.clocks.now());
        let policy = if self.defects.lease_reads { ReadPolicy::LeaseRead } else { ReadPolicy::ReadIndex };
        match self.raft.get_read_log_id(policy).await {
            Ok((read, _)) => Said::ReadIndex { nonce, index: read.index(), ages },
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => {
                Said::NotLeader(to.leader_id)
            }
            Err(error) => Said::Unavailable(error.to_string()),
        }
    }
}

impl<M, R, S> AskLeader for Replica<M, R, S>
where
    M: Machine,
    R: AsyncRuntime,
    S: FileMachine<R>,
{
    async fn read_index(&self, nonce: u64) -> Result<ReadIndex, String> {
        match self.ask_leader(Ask::ReadIndex { nonce }, self.prover.round_timeout()).await {
            Said::ReadIndex { nonce, index, ages } => Ok(ReadIndex { nonce, index, ages }),
            Said::NotLeader(_) => Err("no leader is known".to_owned()),
            Said::Unavailable(reason) | Said::Unknown(reason) | Said::Failed(reason) => Err(reason),
            _ => Err("the leader answered another question".to_owned()),
        }
    }
}

fn place<R: AsyncRuntime>(log_id: &LogIdOf<Types<R>>) -> Place {
    (log_id.committed_leader_id().term, log_id.index)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
