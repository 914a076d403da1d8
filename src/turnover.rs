//! Turns the cluster's secrets over while it runs: another master key, and all that a lost node knew.
//!
//! A new master key is made by one node, which writes it beside the present one and only then tells its fingerprint to the
//! log. Each node asks one that has it, over the connections that members have among themselves, writes it to its disk and
//! says so. Once all have, the leader seals every secret under it, and one entry of the log makes it the present one; then
//! each node lets the file take its place. Between any two of these steps a node may end: what it finds on its disk when it
//! comes back are the present key and the next, or one of them, and whatever it lacks it asks for again.

mod asking;
mod leading;

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, NextMasterKey, NodeRole, Outcome, State, TurnMasterKey};
use circlet_raft::Role;
use tokio::sync::Mutex;

pub(crate) use asking::give;

use crate::audit::Audit;
use crate::certificates::CertificateProblem;
use crate::cluster::{Cluster, Unavailable};
use crate::home::{self, HomeError, Paths};
use crate::keys::KeyUnavailable;
use crate::node::opening;
use crate::rotation::NotMade;
use crate::seal::{MasterKey, hex};
use crate::watched::Watched;

/// How often a node looks for something to do.
const LOOK: Duration = Duration::from_millis(250);
/// After something could not be done, before the next try.
const RETRY: Duration = Duration::from_secs(1);
/// The file with the master key, as the node's status names it.
const FILE: &str = "etc/security/master.key";

/// Held while the file with the next key is another than the log says: between writing it and announcing it.
static NEXT_FILE: Mutex<()> = Mutex::const_new(());

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
        let kept = self.keep_files().await;
        // A leader that can't have a key drives on what the others can.
        if self.cluster.status().role == Role::Leader {
            let view = Arc::clone(&self.cluster.published().view);
            leading::lead(self, &view).await?;
        }
        kept
    }

    /// What the state says of master keys, this node's files show.
    async fn keep_files(&self) -> Result<(), NotTurned> {
        let _held = NEXT_FILE.lock().await;
        // Not before: it would not know what was announced meanwhile.
        let view = Arc::clone(&self.cluster.published().view);
        let Some(present) = view.master_key_fingerprint() else { return Ok(()) };
        self.keep_present(&view, &present).await?;
        match view.next_master_key() {
            Some(next) => self.keep_next(&view, next).await,
            None => self.forget_next(&present),
        }
    }

    /// Sees to it that this node holds the present key, and that its file does.
    async fn keep_present(&self, view: &State, present: &[u8; 32]) -> Result<(), NotTurned> {
        let found = match opening::master_key(&self.paths) {
            Ok(key) if key.fingerprint() == *present => {
                self.watched.problems.clear(FILE);
                return Ok(());
            }
            Ok(key) => key.fingerprint(),
            Err(error) => {
                self.watched.problems.set(FILE, error.to_string());
                return Ok(());
            }
        };
        if let Ok(next) = opening::next_master_key(&self.paths)
            && next.fingerprint() == *present
        {
            self.cluster.keys().hold(&next);
            home::replace(&self.paths.next_master_key(), &self.paths.master_key())?;
            tracing::info!(
                present = hex(present),
                former = hex(&found),
                "the next master key took its place"
            );
            return Ok(());
        }
        if !view.is_former_master_key(&found) {
            // It may be ahead of a view that has not caught up yet; otherwise the node says at its start what is wrong.
            if view.next_master_key().is_none_or(|next| next.fingerprint != found) && self.is_fresh() {
                let problem = format!(
                    "it is another key: its fingerprint is {}, the cluster's is {}; put back that of another node, or \
                     this node does not start again",
                    hex(&found),
                    hex(present)
                );
                self.watched.problems.set(FILE, problem);
            }
            return Ok(());
        }
        let key = if let Ok(key) = self.cluster.keys().master_of(present) {
            key
        } else {
            asking::ask_any(&self.cluster, self.others(view), present).await?
        };
        self.cluster.keys().hold(&key);
        tracing::warn!(
            file = %self.paths.master_key().display(), found = hex(&found), present = hex(present),
            "the file holds an older master key than the cluster's, which takes its place; if something places this file, \
             such as configuration management, give it the cluster's"
        );
        home::write_secret(&self.paths.master_key(), key.to_text().expose())?;
        Ok(())
    }

    /// Sees to it that this node has the next key on its disk, and says so.
    async fn keep_next(&self, view: &State, next: &NextMasterKey) -> Result<(), NotTurned> {
        let keys = self.cluster.keys();
        let filed = opening::next_master_key(&self.paths).ok();
        let filed = filed.filter(|key| key.fingerprint() == next.fingerprint);
        if let Some(key) = &filed {
            keys.hold(key);
        } else {
            let key = if let Ok(key) = keys.master_of(&next.fingerprint) {
                key
            } else {
                let holders = self.others(view).filter(|id| next.holders.contains(id));
                asking::ask_any(&self.cluster, holders, &next.fingerprint).await?
            };
            home::write_secret(&self.paths.next_master_key(), key.to_text().expose())?;
            keys.hold(&key);
        }
        let node = self.cluster.status().id;
        let waited_for = view.without_master_key(next).any(|id| id == node);
        if waited_for {
            let hold = TurnMasterKey::Hold { fingerprint: next.fingerprint, node };
            self.decide(Action::TurnMasterKey(Box::new(hold))).await?;
            tracing::info!(fingerprint = hex(&next.fingerprint), "this node holds the next master key");
        }
        Ok(())
    }

    /// Removes the file of a key that was given up. A view of before its announcement knows nothing of it.
    fn forget_next(&self, present: &[u8; 32]) -> Result<(), NotTurned> {
        let file = self.paths.next_master_key();
        if !file.exists() || !self.is_fresh() {
            return Ok(());
        }
        // Whatever was on its way, the present one must be where it belongs by now.
        if opening::master_key(&self.paths).is_ok_and(|key| key.fingerprint() == *present) {
            home::remove(&file)?;
            tracing::info!("a next master key that was given up is removed");
        }
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        crate::authenticate::vouch::is_fresh(&self.cluster.published(), self.cluster.instants())
    }

    fn others<'a>(&self, view: &'a State) -> impl Iterator<Item = u64> + 'a {
        let own = self.cluster.status().id;
        let members = view.nodes().filter(|node| node.role != NodeRole::Admitted);
        members.map(|node| node.record.id).filter(move |id| *id != own)
    }

    async fn decide(&self, action: Action) -> Result<u64, NotTurned> {
        decide(&self.cluster, Actor::System, action).await
    }
}

/// The log index of a decision.
async fn decide(cluster: &Cluster, actor: Actor, action: Action) -> Result<u64, NotTurned> {
    let decided = cluster.decide(actor, action).await?;
    match decided.outcome {
        Outcome::Refused(refusal) => Err((*refusal).into()),
        _ => Ok(decided.index),
    }
}

/// Makes a new master key, writes it beside the present one, and tells the cluster of it. Returns its fingerprint, and the
/// log index that announced it.
pub(crate) async fn announce(
    cluster: &Cluster,
    paths: &Paths,
    actor: Actor,
    replaces: [u8; 32],
    patience_secs: u64,
) -> Result<([u8; 32], u64), NotTurned> {
    let _held = NEXT_FILE.lock().await;
    let key = MasterKey::generate();
    let fingerprint = key.fingerprint();
    home::write_secret(&paths.next_master_key(), key.to_text().expose())?;
    cluster.keys().hold(&key);
    let node = cluster.status().id;
    let announce = TurnMasterKey::Announce { fingerprint, replaces, node, patience_secs };
    let index = decide(cluster, actor, Action::TurnMasterKey(Box::new(announce))).await?;
    tracing::info!(fingerprint = hex(&fingerprint), index, "another master key is on its way");
    Ok((fingerprint, index))
}
