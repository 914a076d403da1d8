//! This node as a custodian of the master key: its home, its memory, its cluster.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::{Action, Actor, Outcome, Resealed, SealedKind, State};
use circlet_raft::NodeId;
use tokio::sync::Mutex;

use super::NotTurned;
use super::custodian::{Custodian, Master, Place};
use crate::authenticate::vouch;
use crate::cluster::Cluster;
use crate::home::{self, Paths};
use crate::node::opening;
use crate::seal::MasterKey;
use crate::secret::Secret;
use crate::watched::Watched;

/// The file with the master key, as the node's status names it.
const FILE: &str = "etc/security/master.key";

/// There is one home in a process.
static FILING: Mutex<()> = Mutex::const_new(());

/// A node's home and what it takes part in.
pub(super) struct Custody<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) paths: &'a Paths,
    /// Where a problem with the file is shown, if this is who looks for one.
    pub(super) watched: Option<&'a Watched>,
}

impl Master for MasterKey {
    fn of_material(material: Vec<u8>) -> Self {
        Self::from_material(Secret::new(material))
    }

    fn to_material(&self) -> Vec<u8> {
        self.material().expose().to_vec()
    }

    fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint()
    }
}

impl Custodian for Custody<'_> {
    type Key = MasterKey;
    type Failure = NotTurned;

    fn id(&self) -> NodeId {
        self.cluster.status().id
    }

    fn view(&self) -> Arc<State> {
        Arc::clone(&self.cluster.published().view)
    }

    fn is_fresh(&self) -> bool {
        vouch::is_fresh(&self.cluster.published(), self.cluster.instants())
    }

    async fn fresh(&self) -> Result<Arc<State>, String> {
        let published = self.cluster.fresh().await.map_err(|error| error.to_string())?;
        Ok(Arc::clone(&published.view))
    }

    fn now_ms(&self, _: &State) -> u64 {
        self.cluster.now().millis()
    }

    async fn decide(&self, actor: Actor, action: Action) -> Result<u64, NotTurned> {
        let decided = self.cluster.decide(actor, action).await?;
        match decided.outcome {
            Outcome::Refused(refusal) => Err((*refusal).into()),
            _ => Ok(decided.index),
        }
    }

    async fn ask(&self, member: NodeId, question: Vec<u8>, wait: Duration) -> Result<Vec<u8>, String> {
        self.cluster.ask_member(member, question, wait).await
    }

    fn generate(&self) -> MasterKey {
        MasterKey::generate()
    }

    fn held(&self, fingerprint: &[u8; 32]) -> Option<MasterKey> {
        self.cluster.keys().master_of(fingerprint).ok()
    }

    fn hold(&self, key: &MasterKey) {
        self.cluster.keys().hold(key);
    }

    fn reseal(&self, view: &State, which: &SealedKind, under: &MasterKey) -> Result<Resealed, NotTurned> {
        Ok(self.cluster.keys().reseal(view, which, under)?)
    }

    fn filing(&self) -> &Mutex<()> {
        &FILING
    }

    fn read(&self, place: Place) -> Result<MasterKey, NotTurned> {
        Ok(match place {
            Place::Present => opening::master_key(self.paths)?,
            Place::Next => opening::next_master_key(self.paths)?,
        })
    }

    fn write(&self, place: Place, key: &MasterKey) -> Result<(), NotTurned> {
        let file = match place {
            Place::Present => self.paths.master_key(),
            Place::Next => self.paths.next_master_key(),
        };
        Ok(home::write_secret(&file, key.to_text().expose())?)
    }

    fn promote(&self) -> Result<(), NotTurned> {
        Ok(home::replace(&self.paths.next_master_key(), &self.paths.master_key())?)
    }

    fn forget_next(&self) -> Result<bool, NotTurned> {
        let file = self.paths.next_master_key();
        let is_there = file.exists();
        if is_there {
            home::remove(&file)?;
        }
        Ok(is_there)
    }

    fn tell_problem(&self, problem: Option<String>) {
        let Some(watched) = self.watched else { return };
        match problem {
            Some(problem) => watched.problems.set(FILE, problem),
            None => watched.problems.clear(FILE),
        }
    }
}
