//! Turns the cluster's secrets over while it runs: another master key, and all that a lost node knew.
//!
//! A new master key is made by one node, which writes it beside the present one and only then tells its fingerprint to the
//! log. Each node asks one that has it, over the connections that members have among themselves, writes it to its disk and
//! says so. Once all have, the leader seals every secret under it, and one entry of the log makes it the present one; then
//! each node lets the file take its place. Between any two of these steps a node may end: what it finds on its disk when it
//! comes back are the present key and the next, or one of them, and whatever it lacks it asks for again.

pub mod asking;
pub mod custodian;
mod custody;
pub mod driving;
pub mod keeping;
mod leading;

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor};
use circlet_raft::{NodeId, Role};

use crate::audit::Audit;
use crate::certificates::CertificateProblem;
use crate::cluster::{Cluster, Unavailable};
use crate::home::{HomeError, Paths};
use crate::keys::KeyUnavailable;
use crate::rotation::NotMade;
use crate::watched::Watched;
use custodian::Custodian;
use custody::Custody;

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(250);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Why a step was not taken; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotTurned {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(transparent)]
    Key(#[from] KeyUnavailable),
    #[error(transparent)]
    Made(#[from] NotMade),
    #[error(transparent)]
    Certificate(#[from] CertificateProblem),
    #[error(transparent)]
    Undecided(#[from] Unavailable),
    #[error(transparent)]
    Refused(#[from] circlet_authority::Refusal),
    #[error("{0}")]
    Other(String),
}

impl From<String> for NotTurned {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

/// What a node does for it.
pub(crate) struct Turnover {
    pub(crate) cluster: Cluster,
    pub(crate) paths: Paths,
    pub(crate) audit: Audit,
    pub(crate) watched: Arc<Watched>,
}

impl Turnover {
    /// Does a node's part. Never returns.
    pub(crate) async fn run(self) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look().await {
                Ok(()) => told.clear(),
                Err(error) => {
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(%error, "a secret of the cluster is not turned over yet");
                        told = error;
                    }
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    async fn look(&self) -> Result<(), NotTurned> {
        let custody = self.custody();
        let kept = keeping::keep(&custody).await;
        // A leader that can't have a key drives on what the others can.
        if self.cluster.status().role == Role::Leader {
            leading::lead(self, &custody.view()).await?;
        }
        kept
    }

    fn custody(&self) -> Custody<'_> {
        Custody { cluster: &self.cluster, paths: &self.paths, watched: Some(&self.watched) }
    }

    async fn decide(&self, action: Action) -> Result<u64, NotTurned> {
        self.custody().decide(Actor::System, action).await
    }
}

/// Makes a new master key, writes it beside the present one, and tells the cluster of it. Returns its fingerprint.
pub(crate) async fn announce(
    cluster: &Cluster,
    paths: &Paths,
    actor: Actor,
    replaces: [u8; 32],
    patience_secs: u64,
) -> Result<[u8; 32], NotTurned> {
    let custody = Custody { cluster, paths, watched: None };
    keeping::announce(&custody, actor, replaces, patience_secs).await.map(|(fingerprint, _)| fingerprint)
}

/// Answers a member that asks for a master key.
pub(crate) async fn give(
    cluster: &Cluster,
    paths: &Paths,
    from: NodeId,
    question: &[u8],
) -> Result<Vec<u8>, String> {
    asking::give(&Custody { cluster, paths, watched: None }, from, question).await
}
