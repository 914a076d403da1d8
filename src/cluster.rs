//! The bridge between the edge and the replicated authority: propose a command, read a view, know how fresh it is.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Command, Config, Outcome, State};
use circlet_raft::log_store::COMMAND_BYTES_MAX;
use circlet_raft::{
    Dismissed, Instants, MemberError, NodeId, NotReached, Peer, ProposeError, Published, Raft, SourceId,
    Status,
};

use crate::clock::{self, Now};
use crate::floor::{Floor, NoFloor, Standing};
use crate::keys::Keys;
use crate::machine::Authority;
use crate::trace::{self, Kind, Tracer};

/// The cluster as this node takes part in it. Clones are handles to the same.
#[derive(Clone)]
pub struct Cluster {
    raft: Raft<Authority>,
    keys: Arc<Keys>,
    tracer: Tracer,
    floor: Floor,
}

/// How long a decision waits for this node's floor before it is said that it is not on it.
const FLOOR_WAIT: Duration = Duration::from_secs(2);

/// What the cluster has decided; this node's view holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The log index of the decision.
    pub index: u64,
    /// What applying it gave; a refusal is an outcome too.
    pub outcome: Outcome,
}

/// Why the cluster gave no decision, or this node no fresh view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Certainly not done. It may be tried again at once.
    #[error("the cluster can't decide at the moment: {0}")]
    NotDone(String),
    /// It may or may not have been done; only asking again with the same ids tells.
    #[error("the cluster lost the request on its way, its fate is unknown: {0}")]
    Unknown(String),
    /// The bytes of the command were refused before they reached the log: a defect of this program.
    #[error("the command can't be applied: {0}")]
    Defect(String),
    /// The command is larger than the log takes: the request was.
    #[error("the command has {bytes} bytes, and the log takes {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What the log takes.
        max: usize,
    },
    /// This node could not prove in time that its view is fresh.
    #[error("this node can't prove that its view is fresh: {0}")]
    NotFresh(String),
    /// It was decided, and this node must not acknowledge it: it is not on its revocation floor.
    #[error("it was decided, at log entry {index}, and is not on this node's revocation floor: {why}")]
    NotOnFloor {
        /// The decision.
        index: u64,
        /// Why it is not there.
        why: String,
    },
}

impl Cluster {
    /// The bridge to an open node of the log.
    #[must_use]
    pub fn new(raft: Raft<Authority>, keys: Keys) -> Self {
        Self { raft, keys: Arc::new(keys), tracer: Tracer::default(), floor: Floor::default() }
    }

    /// The same, on this node's revocation floor.
    #[must_use]
    pub fn on_floor(self, floor: Floor) -> Self {
        Self { floor, ..self }
    }

    /// This node's revocation floor.
    #[must_use]
    pub fn floor(&self) -> &Floor {
        &self.floor
    }

    /// Why this node acknowledges nothing at the moment, though the cluster decides: a floor is required, and its own can't be
    /// relied on.
    #[must_use]
    pub fn lacks_floor(&self) -> Option<String> {
        if !self.published().view.floor_is_required() {
            return None;
        }
        self.floor.trouble()
    }

    /// Refuses a configuration that begins to require a floor where this node has none that stands: it would be left unable to
    /// say so. Asked wherever settings are changed, before the change is proposed.
    pub fn admit_config(&self, before: &State, config: &Config) -> Result<(), NoFloor> {
        if before.floor_is_required() || !config.revocation_floor_required {
            return Ok(());
        }
        let begins = matches!(self.floor.status().standing, Standing::Begins);
        self.floor.trouble().map_or(Ok(()), |why| Err(NoFloor { why, begins }))
    }

    /// The same, where what is decided for a request is told as spans of its trace.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        self.raft.observe(Arc::new(tracer.clone()));
        Self { tracer, ..self }
    }

    /// Where spans go.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// The present view with its index and freshness: one value, loaded once per decision.
    #[must_use]
    pub fn published(&self) -> Arc<Published<State>> {
        self.raft.published()
    }

    /// The cluster's unsealed keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The node's time: the later of the wall clock and the newest time in the log.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now_at(&self.published())
    }

    /// The node's time, judged with a view that is already at hand.
    #[must_use]
    pub fn now_at(&self, published: &Published<State>) -> Now {
        Now::at_least(published.view.now_ms())
    }

    /// Both clocks of this machine, for ages.
    #[must_use]
    pub fn instants(&self) -> Instants {
        Instants { boot_ms: clock::boot_ms(), wall_ms: clock::wall_ms() }
    }

    /// How long this node has been cut off at most, in milliseconds; `None` if it hasn't proved freshness since its
    /// start.
    #[must_use]
    pub fn isolation_ms(&self) -> Option<u64> {
        self.published().age_ms(self.instants())
    }

    /// Has the cluster decide. When it returns, this node's view holds the decision, and so does its floor if that is
    /// required: it may be acknowledged.
    pub async fn decide(&self, actor: Actor, action: Action) -> Result<Decided, Unavailable> {
        let decided = self.decide_for_itself(actor, action).await?;
        self.may_acknowledge(decided.index).await?;
        Ok(decided)
    }

    /// Waits until this node may acknowledge what its view holds up to `index`.
    pub async fn may_acknowledge(&self, index: u64) -> Result<(), Unavailable> {
        let view = Arc::clone(&self.published().view);
        let may = self.floor.may_acknowledge(&view, index, tokio::time::sleep(FLOOR_WAIT)).await;
        may.map_err(|why| Unavailable::NotOnFloor { index, why })
    }

    /// Has the cluster decide what the node does by itself, and tells nobody of: it doesn't wait for the floor.
    pub async fn decide_for_itself(&self, actor: Actor, action: Action) -> Result<Decided, Unavailable> {
        let what = action.name();
        let command = Command { actor, action }.encode();
        let (bytes, max) = (command.len(), COMMAND_BYTES_MAX);
        if bytes > max {
            return Err(Unavailable::TooLarge { bytes, max });
        }
        let child = trace::current().map(|trace| self.tracer.child(trace, Kind::Client, "propose"));
        let (trace, mut span) = child.unzip();
        if let Some(span) = &mut span {
            span.note("circlet.action", what);
        }
        let proposed = self.raft.propose_traced(command, trace).await;
        if let (Some(span), Err(_)) = (&mut span, &proposed) {
            span.fail();
        }
        drop(span);
        let committed = proposed.map_err(|error| match error {
            ProposeError::Unavailable(why) => Unavailable::NotDone(why),
            ProposeError::Unknown(why) => Unavailable::Unknown(why),
            ProposeError::Refused(why) => Unavailable::Defect(why),
        })?;
        let outcome =
            Outcome::decode(&committed.outcome).map_err(|error| Unavailable::Unknown(error.to_string()))?;
        Ok(Decided { index: committed.index, outcome })
    }

    /// A view that is proved fresh as of this call; waits for a bounded time.
    pub async fn fresh(&self) -> Result<Arc<Published<State>>, Unavailable> {
        self.raft.fresh(None).await.map_err(|error| Unavailable::NotFresh(error.0))
    }

    /// A view that is proved fresh as of `instant` or later.
    pub async fn fresh_since(&self, instant: Instants) -> Result<Arc<Published<State>>, Unavailable> {
        self.raft.fresh(Some(instant)).await.map_err(|error| Unavailable::NotFresh(error.0))
    }

    /// Notes that this node's view holds all that another cluster had revoked before `noted`; counts while it leads.
    pub fn prove_source(&self, source: SourceId, noted: Instants) {
        self.raft.prove_source(source, noted);
    }

    /// Forgets what it proved of others: another node leads.
    pub fn forget_sources(&self) {
        self.raft.forget_sources();
    }

    /// A view that holds the log up to `index`.
    pub async fn wait_index(&self, index: u64, wait: Duration) -> Result<Arc<Published<State>>, NotReached> {
        self.raft.wait_index(index, wait).await
    }

    /// What this node and its peers are at the moment.
    #[must_use]
    pub fn status(&self) -> Status {
        self.raft.status()
    }

    /// How far this node's clock is ahead, in milliseconds, by all that it can be held against; none where that is nothing
    /// yet.
    #[must_use]
    pub fn clock_ahead_ms(&self) -> Option<u64> {
        self.raft.clock_ahead_ms()
    }

    /// Asks the others for their time, as happens once a second.
    pub async fn compare_clocks(&self) {
        self.raft.compare_clocks().await;
    }

    /// Adds an admitted node to the membership; it gets a vote by itself once it has caught up.
    pub async fn add_learner(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        self.raft.add_learner(id, peer).await
    }

    /// Removes a node from the membership; its id never returns.
    pub async fn remove(&self, id: NodeId) -> Result<(), MemberError> {
        self.raft.remove(id).await
    }

    /// Records other addresses of a member, under the key that it has.
    pub async fn relocate(&self, id: NodeId, peer: Peer) -> Result<(), MemberError> {
        self.raft.relocate(id, peer).await
    }

    /// Asks a member something beside the log.
    pub async fn ask_member(&self, id: NodeId, question: Vec<u8>, wait: Duration) -> Result<Vec<u8>, String> {
        self.raft.ask_member(id, question, wait).await
    }

    /// Hands leadership to a voter.
    pub async fn transfer(&self, to: NodeId) -> Result<(), MemberError> {
        self.raft.transfer(to).await
    }

    /// Shows other certificates of this node's key to peers and joiners.
    pub fn show_certificates(&self, chain: &[Vec<u8>]) -> Result<(), String> {
        self.raft.show_certificates(chain)
    }

    /// Resolves once a member has said why this node doesn't belong to the cluster any more.
    pub fn dismissed(&self) -> impl Future<Output = Dismissed> + Send + 'static {
        self.raft.dismissed()
    }

    /// Resolves with the reason when this node has stopped itself.
    pub fn stopped(&self) -> impl Future<Output = String> + Send + 'static {
        self.raft.stopped()
    }

    /// Stops taking part; a leader hands over first.
    pub async fn shutdown(&self) {
        self.raft.shutdown().await;
    }
}
