//! Versions of the program: they are rolled out node by node while everything else goes wrong, taken back while that is
//! possible, and somebody starts one that is too old.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Chaos, Strike};
use crate::cluster::Computer;
use crate::fault::Fault;
use crate::midst::Change;
use crate::version;

/// After so many of a hundred steps of an upgrade it is given up and taken back.
const GIVEN_UP_PERCENT: u64 = 15;

impl Chaos {
    /// Rolls out one version after the other, until told to stop.
    pub async fn roll_out(self: Arc<Self>) {
        self.cluster.mix_versions(true);
        while !self.over.load(Ordering::SeqCst) {
            self.wait_ms(200, if self.seeks { 500 } else { 4_000 }).await;
            let present = self.cluster.release();
            if present < version::next() {
                self.upgrade(present).await;
            } else if let Some(victim) = self.dice.pick(&self.cluster.computers()).cloned() {
                self.reinstall_noted(victim).await;
            }
        }
        self.cluster.mix_versions(false);
    }

    /// One node after the other is restarted as the next version, and some newcomers are of it.
    async fn upgrade(&self, present: u32) {
        self.cluster.set_release(present + 1);
        self.say(format!("an upgrade to version {} begins", present + 1));
        while let Some(victim) = self.next_below(present + 1) {
            self.reinstall_noted(victim).await;
            self.cluster.history.midst().goad(Change::FeatureLevel, &self.dice);
            self.wait_ms(50, 1_200).await;
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            if self.is_given_up() {
                return self.take_back(present).await;
            }
        }
    }

    /// Whether an administrator thinks better of an upgrade.
    fn is_given_up(&self) -> bool {
        let sought = self.seeks && self.cluster.faults.absent().contains(&Fault::TakenBack);
        sought || self.dice.percent(GIVEN_UP_PERCENT)
    }

    /// The nodes are what they were, unless that is too late.
    async fn take_back(&self, version: u32) {
        self.say(format!("the upgrade is given up, and version {version} taken back"));
        self.cluster.set_release(version);
        for computer in self.cluster.computers() {
            if computer.version() > version && self.cluster.history.level() <= version {
                self.reinstall_noted(computer).await;
            }
        }
    }

    fn next_below(&self, version: u32) -> Option<Arc<Computer>> {
        let mut older = self.cluster.computers();
        older.retain(|computer| computer.version() < version);
        self.dice.pick(&older).cloned()
    }

    /// Waits until no other fault wants to be alone, and is under way then.
    async fn reinstall_noted(&self, victim: Arc<Computer>) {
        while self.quiet.load(Ordering::SeqCst) && !self.over.load(Ordering::SeqCst) {
            self.wait_ms(100, 100).await;
        }
        if !self.over.load(Ordering::SeqCst) {
            self.strike_noted(Strike::Reinstall, victim).await;
        }
    }

    /// A node is restarted as the version that is rolled out; or, if it is that one, as an older one, by mistake for a while.
    pub(super) async fn reinstall(&self, victim: &Arc<Computer>) {
        let release = self.cluster.release();
        if victim.version() != release {
            return self.restart_as(victim, release).await;
        }
        let older = self.dice.between(u64::from(version::FIRST), u64::from(release));
        let older = u32::try_from(older).unwrap_or(release);
        if older < release {
            self.restart_as(victim, older).await;
            self.wait_ms(300, 3_000).await;
            self.restart_as(victim, self.cluster.release()).await;
        }
    }

    async fn restart_as(&self, victim: &Arc<Computer>, version: u32) {
        let before = victim.version();
        let fault = if version < self.cluster.history.level() {
            Fault::TooOld
        } else if version < before {
            Fault::TakenBack
        } else {
            Fault::Upgraded
        };
        self.note(fault, format!("{} is restarted as version {version}, after {before}", victim.id));
        self.cluster.kill(victim);
        victim.install(version);
        self.wait_ms(20, 400).await;
        self.cluster.start(victim).await;
    }

    /// Every node is of the last version from now on, as those are that come.
    pub(super) async fn finish_upgrade(&self) {
        self.cluster.set_release(version::next());
        for computer in self.cluster.computers() {
            if computer.version() < version::next() {
                self.cluster.kill(&computer);
                computer.install(version::next());
                self.cluster.start(&computer).await;
            }
        }
    }
}
