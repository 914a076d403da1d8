//! Versions of the program: which one is on a computer, and which one is given to computers that come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use circlet_authority::State;
use circlet_raft::trace::{Observation, Observer, Stage, Trace};

use super::{Cluster, Computer};
use crate::history::Event;
use crate::scope;
use crate::version;

/// While versions are mixed, so many of a hundred newcomers are of the one before.
const OLDER_PERCENT: u64 = 35;

impl Computer {
    /// The version of the program that is installed here.
    pub fn version(&self) -> u32 {
        self.version.load(Ordering::SeqCst)
    }

    /// Its node is of this version when it starts next.
    pub fn install(&self, version: u32) {
        self.version.store(version, Ordering::SeqCst);
    }

    /// Whether its node can't read what the cluster writes.
    pub fn is_too_old(&self, level: u32) -> bool {
        self.version() < level
    }
}

impl Cluster {
    /// The version of the program that new computers are given.
    pub fn release(&self) -> u32 {
        self.release.load(Ordering::SeqCst)
    }

    /// New computers are given this version from now on.
    pub fn set_release(&self, version: u32) {
        self.release.store(version, Ordering::SeqCst);
    }

    /// Some newcomers are given an older version from now on, or none any more.
    pub fn mix_versions(&self, mixes: bool) {
        self.mixes_versions.store(mixes, Ordering::SeqCst);
    }

    /// The version that the next newcomer is given.
    pub(super) fn version_of_newcomer(&self) -> u32 {
        let release = self.release();
        let older = self.mixes_versions.load(Ordering::SeqCst) && self.dice.percent(OLDER_PERCENT);
        if older { release.saturating_sub(1).max(version::FIRST) } else { release }
    }

    /// What the cluster lacks of an upgrade that is over: each node is known as what it is, and the level is what all support.
    ///
    /// # Errors
    /// What is amiss.
    pub fn is_upgraded(&self) -> Result<(), String> {
        for computer in self.computers() {
            let id = computer.id;
            let (_, member) = computer.node().ok_or_else(|| format!("node {id} is down"))?;
            let view: Arc<State> = Arc::clone(&member.published().view);
            let level = view.feature_level();
            let supported = view.supported_by_all();
            if supported != Some(level) {
                return Err(format!(
                    "the feature level is {level} at node {id}, and all support {supported:?}"
                ));
            }
            let (known, version) = (view.node(id).map(|node| node.supports), computer.version());
            if known != Some(version) {
                return Err(format!("node {id} supports {version}, and is known to support {known:?}"));
            }
        }
        Ok(())
    }
}

/// Is told by a node that leads of proposals with a trace.
pub(super) struct Reader;

impl Observer for Reader {
    fn begins(&self, _: Trace) -> Box<dyn Observation> {
        if let Some(scope) = scope::current() {
            let (node, version) = (scope.node(), scope.version());
            if version < version::TRACES_FROM {
                scope.history().tell(&Event::Traced { node, version });
            }
        }
        Box::new(Reader)
    }
}

impl Observation for Reader {
    fn reached(&mut self, _: Stage) {}
}
