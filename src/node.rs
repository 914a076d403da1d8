//! One serving node: opens the home, wires the rooms, runs until told to stop.

pub mod founding;
pub mod next_generation;
pub(crate) mod opening;
pub mod recovering;
pub mod restoring;

mod announced;
pub(crate) mod bootstrap_credentials;
mod doors;
mod floor;
mod generated_token;
mod given_up;
mod levels;
mod master_key;
mod members;
mod observe;
mod others;
pub mod purge;
mod ready;
mod stop;
mod supervisor;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use circlet_authority::NodeRecord;
use circlet_raft::{Dismissed, MemberError, OpenError, Raft};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::doors::{Doors, forbid_core_dumps, raise_open_files};
use crate::audit::Audit;
use crate::authenticate::usage::Usage;
use crate::cluster::Cluster;
use crate::headroom::Headroom;
use crate::home::settings::NodeSettings;
use crate::home::{Home, HomeError, Identity, Paths};
use crate::http::edge::Edge;
use crate::join::{self, JoinError, JoinGate};
use crate::keys::{KeyUnavailable, Keys};
use crate::machine::{self, Authority};
use crate::password::Passwords;
use crate::seal::hex;
use crate::trace::Tracer;
use crate::turnover::Turnover;
use crate::watched::Watched;
use crate::{circle, config_files, http, key_directory, renewal, rotation, trust_directory};

/// How long a start waits for the state on this node's own disk before it opens its doors without it. A node that
/// has just joined has none, and serves 503 until its peers have sent it.
const STATE_WAIT: Duration = Duration::from_secs(5);

/// How long an open log may look empty before it counts as lost.
const LOG_WAIT: Duration = Duration::from_secs(1);
/// How soon a node notices that it was removed.
const REMOVED_LOOK: Duration = Duration::from_millis(500);
const LOG_LOOK: Duration = Duration::from_millis(5);

/// What serving takes.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The home to serve.
    pub home: PathBuf,
    /// Written when the node is ready.
    pub ready_file: Option<PathBuf>,
    /// Start although the clock is far ahead of the cluster's time.
    pub accept_clock: bool,
    /// Stop when this process is no longer our parent.
    pub dies_with: Option<u32>,
}

/// Why a node does not serve, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The home is not in order.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The node is new, has the keys to join with, and was not let in.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The port for clients can't be had.
    #[error("can't listen for clients on {address} ({setting})")]
    Listen {
        /// The address as configured.
        address: String,
        /// The setting that names it.
        setting: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The log can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A secret of the cluster doesn't open, though the master key is the right one.
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
    /// The certificate for clients is of no use.
    #[error(transparent)]
    Tls(#[from] http::tls::TlsProblem),
    /// The system refused something that a server needs.
    #[error("can't {doing}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The cluster has removed this node.
    #[error("node {node_id} was removed from cluster {service_id}, at index {index} of its log")]
    Removed {
        /// The node.
        node_id: u64,
        /// The log index that removed it.
        index: u64,
        /// Its former cluster.
        service_id: String,
    },
    /// The disk was set back, as a peer has noticed.
    #[error("the disk of node {node_id} went back to an older state: {} lacks what the node had told its peers", .folder.display())]
    SetBack {
        /// The node.
        node_id: u64,
        /// Its data.
        folder: PathBuf,
    },
    /// Its revocation floor was taken away: somebody restores the cluster.
    #[error("node {node_id} must not acknowledge anything any more: {why}")]
    FloorEnded {
        /// The node.
        node_id: u64,
        /// What was found.
        why: String,
    },
    /// The node has stopped itself, rather than answer from a state that it can't vouch for.
    #[error("the node has stopped itself: {0}")]
    Stopped(String),
}

/// Serves a home until a signal asks to stop, or until the node has to stop itself.
pub async fn serve(serving: Serving) -> Result<(), ServeError> {
    forbid_core_dumps()?;
    join_if_new(&serving.home).await?;
    let (home, identity) = Home::open(&serving.home)?;
    let settings = NodeSettings::read(&home.paths)?;
    observe::start(&settings);
    let master = opening::master_key(&home.paths)?;
    let doors = Doors::open(&settings).await?;
    let signals = stop::Signals::listen()?;
    let open_files = raise_open_files();

    let gate = JoinGate::new(home.paths.clone());
    let lost = HomeError::LogLost { file: home.paths.raft(), node_id: identity.node_id };
    if identity.log_begun && !home.paths.raft().exists() {
        return Err(lost.into());
    }
    let raft = open(&home.paths, &settings, &identity, &gate, serving.accept_clock).await?;
    let own_key = master.fingerprint();
    let keys = Keys::new(master);
    // Damaged or absent, it is asked for again.
    if let Ok(next) = opening::next_master_key(&home.paths) {
        keys.hold(&next);
    }
    let cluster = Cluster::new(raft, keys)
        .traced(Tracer::new(&settings.tracing))
        .on_floor(floor::of(&settings, &home.paths));
    if identity.log_begun && is_empty(&cluster).await {
        cluster.shutdown().await;
        return Err(lost.into());
    }
    tracing::info!(
        node = identity.node_id, name = %settings.name, service_id = %identity.service_id,
        peers = %settings.peer_listen, version = env!("CARGO_PKG_VERSION"), "node opened"
    );
    let node = Node { home, identity, settings, serving, cluster, gate, open_files, own_key };
    let ended = node.run(doors, signals).await;
    node.cluster.shutdown().await;
    match &ended {
        Ok(()) => tracing::info!("node stopped"),
        Err(error) => tracing::error!(%error, "node stopped"),
    }
    ended
}

/// A home that nobody lives in yet joins the cluster whose join key was placed there.
async fn join_if_new(home: &Path) -> Result<(), ServeError> {
    let paths = Paths::new(home);
    if paths.identity().exists() || !paths.join_key().exists() {
        return Ok(());
    }
    observe::start(&NodeSettings::read(&paths)?);
    let joined = join::join_by_key(home).await?;
    tracing::info!(node = joined.node_id, service_id = %joined.service_id, "joined by the join key");
    Ok(())
}

async fn open(
    paths: &Paths,
    settings: &NodeSettings,
    identity: &Identity,
    gate: &JoinGate,
    accept_clock: bool,
) -> Result<Raft<Authority>, ServeError> {
    let listen = settings.peer_listen.clone();
    let gate = Arc::new(gate.clone());
    let opening = opening::Opening { paths, settings, identity, listen, gate, accept_clock };
    Ok(Raft::open(opening.options()?).await?)
}

/// A node that is open.
struct Node {
    home: Home,
    identity: Identity,
    settings: NodeSettings,
    serving: Serving,
    cluster: Cluster,
    gate: JoinGate,
    /// How many files the process may open.
    open_files: u64,
    /// The fingerprint of the master key that the home had when it was opened.
    own_key: [u8; 32],
}

impl Node {
    async fn run(&self, doors: Doors, signals: stop::Signals) -> Result<(), ServeError> {
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let known = tokio::select! {
            early = tokio::time::timeout(STATE_WAIT, self.state_arrives()) => early.is_ok(),
            // The log may hold what this version can't read.
            reason = self.cluster.stopped() => return Err(ServeError::Stopped(reason)),
        };
        if known {
            self.check_state()?;
        }
        let served = self.start(doors, &stop, &tasks);
        let ended = match served {
            Ok(()) => self.wait(signals, known).await,
            Err(error) => Err(error),
        };
        self.drain(&stop, tasks).await;
        ended
    }

    /// Opens the doors: clients first, then the tasks in the background.
    fn start(&self, doors: Doors, stop: &CancellationToken, tasks: &TaskTracker) -> Result<(), ServeError> {
        self.gate.open(self.cluster.clone());
        let tls = http::tls::acceptor(&self.settings, &self.home.paths, &self.cluster, stop, tasks)?;
        let (tls, certificate) = tls.unzip();
        let audit = Audit::open(&self.home.paths.logs(), self.settings.audit)
            .map_err(|source| ServeError::System { doing: "open the audit log", source })?;
        tasks.spawn(stop.clone().run_until_cancelled_owned(audit.clone().keep_trying()));
        let usage = Usage::default();
        let headroom = Headroom::new(self.home.paths.data(), self.settings.headroom);
        let cluster = self.cluster.clone();
        let tokens = move || cluster.published().view.token_count();
        tasks.spawn(stop.clone().run_until_cancelled_owned(headroom.clone().keep_looking(tokens)));
        let edge = Arc::new(self.edge(audit.clone(), usage.clone(), headroom));
        let watched = Arc::clone(&edge.watched);
        let Doors { clients, metrics } = doors;
        if let Some(metrics) = metrics {
            tasks.spawn(http::server::serve_metrics(metrics, Arc::clone(&edge), stop.clone()));
        }
        tasks.spawn(http::server::serve(clients, tls, edge, stop.clone()));
        tracing::info!(url = %self.settings.http_advertise, "serving clients");
        supervisor::started();
        let cluster = &self.cluster;
        tasks.spawn(cluster.tracer().clone().export(self.settings.name.clone(), stop.clone()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(purge::run(cluster.clone())));
        tasks.spawn(stop.clone().run_until_cancelled_owned(usage::run(cluster.clone(), usage)));
        let place = announced::Place {
            peer_address: self.settings.peer_advertise.clone(),
            client_url: self.settings.http_advertise.clone(),
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(announced::run(cluster.clone(), place)));
        tasks.spawn(stop.clone().run_until_cancelled_owned(levels::run(cluster.clone())));
        let keeper =
            floor::Keeper::new(cluster.clone(), &self.home.paths, &self.settings, self.identity.node_id);
        tasks.spawn(stop.clone().run_until_cancelled_owned(keeper.run()));
        tasks.spawn(stop.clone().run_until_cancelled_owned(rotation::run(cluster.clone(), audit.clone())));
        let renewal =
            renewal::run(cluster.clone(), self.home.paths.clone(), self.settings.name.clone(), audit.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(renewal));
        tasks.spawn(stop.clone().run_until_cancelled_owned(circle::run(cluster.clone())));
        self.keep_files(stop, tasks, &audit, &watched);
        let ready = ready::Ready {
            cluster: cluster.clone(),
            can_greet: Box::new(move || certificate.as_ref().is_none_or(|shown| shown.is_there())),
            file: self.serving.ready_file.clone(),
            id: self.identity.node_id,
            name: self.settings.name.clone(),
            service_id: self.identity.service_id.clone(),
            url: self.settings.http_advertise.clone(),
        };
        tasks.spawn(stop.clone().run_until_cancelled_owned(ready.announce()));
        Ok(())
    }

    /// The tasks around the files that an operator changes.
    fn keep_files(
        &self,
        stop: &CancellationToken,
        tasks: &TaskTracker,
        audit: &Audit,
        watched: &Arc<Watched>,
    ) {
        let here = || (self.cluster.clone(), self.home.paths.clone());
        let poll = self.settings.trust_poll;
        let (cluster, paths) = here();
        let keys = key_directory::run(cluster, paths, poll, audit.clone(), Arc::clone(watched));
        tasks.spawn(stop.clone().run_until_cancelled_owned(keys));
        let (cluster, paths) = here();
        let config = config_files::run(cluster, paths, poll, audit.clone(), Arc::clone(watched));
        tasks.spawn(stop.clone().run_until_cancelled_owned(config));
        let (cluster, paths) = here();
        let trusted = trust_directory::run(cluster, paths, poll, audit.clone(), Arc::clone(watched));
        tasks.spawn(stop.clone().run_until_cancelled_owned(trusted));
        let (cluster, paths) = here();
        let turnover = Turnover { cluster, paths, audit: audit.clone(), watched: Arc::clone(watched) };
        tasks.spawn(stop.clone().run_until_cancelled_owned(turnover.run()));
        let (cluster, paths) = here();
        tasks.spawn(stop.clone().run_until_cancelled_owned(members::run(cluster, paths)));
        let given_up = given_up::run(self.home.paths.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(given_up));
        let (cluster, paths) = here();
        let token = generated_token::run(cluster, paths, audit.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(token));
    }

    /// What answers clients.
    fn edge(&self, audit: Audit, usage: Usage, headroom: Headroom) -> Edge {
        let settings = http::edge::Settings {
            advertised_version: self.settings.advertised_version.clone(),
            trusted_proxies: self.settings.trusted_proxies.clone(),
            connections: self.settings.connections.within(self.open_files),
            clock_offset_ms_max: self.settings.raft.clock_offset_ms_max,
            paths: self.home.paths.clone(),
        };
        let passwords = Passwords::start(headroom.memory_limit_bytes());
        Edge::new(self.cluster.clone(), passwords, audit, usage, headroom, settings)
    }

    /// Until a signal, until the node has stopped itself, or until a state arrives that is not this home's.
    async fn wait(&self, mut signals: stop::Signals, known: bool) -> Result<(), ServeError> {
        let arriving = async {
            if known {
                return std::future::pending().await;
            }
            self.state_arrives().await;
            match self.check_state() {
                Ok(()) => std::future::pending().await,
                Err(error) => error,
            }
        };
        tokio::select! {
            reason = signals.any() => {
                tracing::info!(%reason, "stopping");
                Ok(())
            }
            () = stop::orphaned(self.serving.dies_with) => {
                tracing::info!("stopping: the parent process is gone");
                Ok(())
            }
            reason = self.cluster.stopped() => Err(ServeError::Stopped(reason)),
            error = arriving => Err(error),
            error = self.dismissed() => Err(error),
            error = self.lacks_master_key() => Err(error.into()),
            why = self.cluster.floor().ended() => Err(ServeError::FloorEnded { node_id: self.identity.node_id, why }),
        }
    }

    async fn drain(&self, stop: &CancellationToken, tasks: TaskTracker) {
        supervisor::stopping();
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(self.settings.shutdown_grace, tasks.wait()).await.is_err() {
            tracing::warn!("some requests were still under way when the grace period ended");
        }
        if let Some(file) = &self.serving.ready_file {
            // It says that the node is ready, which it no longer is; it may not exist.
            let _ = std::fs::remove_file(file);
        }
    }

    /// Until the view holds the first entry of the log.
    async fn state_arrives(&self) {
        loop {
            let published = self.cluster.published();
            if published.view.service_id().is_some() {
                return;
            }
            // An error means that it is not there yet.
            let _ = self.cluster.wait_index(published.index.saturating_add(1), STATE_WAIT).await;
        }
    }

    /// Until this node doesn't belong any more: by its own view, which knows of its admission and doesn't hold it any more, or by the
    /// word of a member, since nobody sends a removed node the entry that says so.
    async fn dismissed(&self) -> ServeError {
        let node_id = self.identity.node_id;
        loop {
            let view = &self.cluster.published().view;
            // A node's id is the log index of its admission: a view below it is of before.
            if view.service_id().is_some() && view.index() >= node_id && view.node(node_id).is_none() {
                let index = view.removed_node(node_id).map_or(view.index(), |removed| removed.index);
                return self.was_removed(index);
            }
            match tokio::time::timeout(REMOVED_LOOK, self.cluster.dismissed()).await {
                Ok(Dismissed::Removed { index }) => return self.was_removed(index),
                Ok(Dismissed::SetBack) => {
                    return ServeError::SetBack { node_id, folder: self.home.paths.data() };
                }
                Ok(Dismissed::Superseded { generation }) => return self.was_superseded(generation),
                Err(_) => {}
            }
        }
    }

    /// The same words as at every later start.
    fn was_superseded(&self, generation: u64) -> ServeError {
        let Identity { node_id, service_id, .. } = self.identity.clone();
        let (home, file) = (self.home.paths.root().to_owned(), self.home.paths.superseded());
        HomeError::Superseded { home, node_id, service_id, generation, file }.into()
    }

    fn was_removed(&self, index: u64) -> ServeError {
        let service_id = self.identity.service_id.clone();
        ServeError::Removed { node_id: self.identity.node_id, index, service_id }
    }

    /// Whether the state is of the cluster that this home belongs to, and opens under its master key.
    fn check_state(&self) -> Result<(), ServeError> {
        let view = &self.cluster.published().view;
        let found = view.service_id().map(ToString::to_string).unwrap_or_default();
        if found != self.identity.service_id {
            let home = self.serving.home.clone();
            return Err(
                HomeError::OtherCluster { home, expected: self.identity.service_id.clone(), found }.into()
            );
        }
        match self.cluster.keys().check(view) {
            // The view may be behind the file, or the file behind the cluster: see `lacks_master_key`.
            Err(KeyUnavailable::NoMasterKey(expected)) => {
                tracing::warn!(
                    found = hex(&self.own_key),
                    expected,
                    "this home has another master key than the state"
                );
            }
            checked => checked?,
        }
        if !self.identity.log_begun {
            Identity { log_begun: true, ..self.identity.clone() }.write(&self.home.paths)?;
        }
        Ok(())
    }
}

/// Whether the log holds nothing, and goes on holding nothing: what an open node says of itself lags a little.
async fn is_empty(cluster: &Cluster) -> bool {
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < LOG_WAIT {
        let status = cluster.status();
        if status.last_log.is_some() || status.snapshot.is_some() || cluster.published().index > 0 {
            return false;
        }
        tokio::time::sleep(LOG_LOOK).await;
    }
    true
}

/// Replaces a file by rename, so that whoever waits for it never reads half of it.
fn write_by_rename(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    crate::home::write_public(path, bytes)
}

impl announced::Movable for Cluster {
    fn recorded(&self) -> Option<NodeRecord> {
        let mut status = self.status();
        let own = status.members.remove(&status.id)?;
        Some(machine::record(status.id, &own.peer))
    }

    async fn relocate(&self, record: &NodeRecord) -> Result<(), MemberError> {
        Self::relocate(self, record.id, machine::peer(record)).await
    }

    async fn pause(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
