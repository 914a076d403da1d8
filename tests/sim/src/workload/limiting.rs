//! Administrators who limit what tokens of a neighbour may do here, while its keys turn over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_authority::{Action, IssuerLimits, LimitIssuer, State};
use circlet_token::{KeyId, Lifetime, ServiceId};
use openraft_rt::AsyncRuntime;

use super::{Reply, Workload, administrator};
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::plant::Plant;
use crate::runtime::NodeRuntime;

/// A node is busy so long at most between two steps of a change.
const BUSY_MS_MAX: u64 = 1_500;

impl Workload {
    /// An administrator limits a neighbour: one change at a time, so that they have an order.
    pub(super) async fn limit_neighbour(&self, computer: &Computer) {
        let Some(neighbour) = self.dice.pick(&self.cluster.neighbours()).cloned() else { return };
        if self.expects_guests() || self.limiting.swap(true, Ordering::SeqCst) {
            return;
        }
        self.count("neighbour limited");
        let (limits, issuer) = (self.limits(), neighbour.service);
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let begun = Event::Limiting { change, issuer: issuer.clone(), limits: limits.clone() };
        self.cluster.history.tell(&begun);
        match self.limit_all(computer, &issuer, &limits).await {
            Some(index) => self.cluster.history.tell(&Event::Limited { change, index }),
            None => self.count("neighbour limited in part"),
        }
        self.limiting.store(false, Ordering::SeqCst);
    }

    /// Limits each certificate of an issuer, as the product does: those that came meanwhile too. As of which index that is
    /// done; `None` if it is not, or nobody knows.
    async fn limit_all(&self, computer: &Computer, issuer: &ServiceId, limits: &IssuerLimits) -> Option<u64> {
        let view = || computer.node().map(|(_, member)| Arc::clone(&member.published().view));
        let (mut done, mut index) = (BTreeSet::new(), None);
        let mut seen = view()?;
        // Where that is planted, haste takes its time, or hardly a key would come meanwhile.
        let hasty = self.cluster.history.plant() == Plant::HastyLimits;
        let busy_ms_max = if hasty { 5 * BUSY_MS_MAX } else { BUSY_MS_MAX };
        while let Some(kid) = next(&seen, issuer, &done) {
            let limit = LimitIssuer { kid: kid.clone(), limits: limits.clone() };
            let action = Action::LimitIssuer(Box::new(limit));
            NodeRuntime::sleep(Duration::from_millis(self.dice.between(0, busy_ms_max))).await;
            match self.propose(computer, administrator(), action).await {
                Reply::Decided { outcome, index: decided, .. } if outcome.refusal().is_none() => {
                    index = Some(decided);
                }
                _ => return None,
            }
            done.insert(kid);
            if !hasty {
                seen = view()?;
            }
        }
        index
    }

    fn limits(&self) -> IssuerLimits {
        let group = |name: &str| name.to_owned();
        let groups = match self.dice.between(0, 3) {
            0 => None,
            1 => Some(BTreeMap::new()),
            2 => Some(house::GROUPS.map(|name| (group(name), group(name))).into()),
            _ => Some(BTreeMap::from([(group(house::GROUPS[0]), group(house::GROUPS[1]))])),
        };
        IssuerLimits {
            admin: self.dice.percent(30),
            groups,
            max_lifetime: self.dice.percent(40).then(|| Lifetime::from_secs(self.dice.between(60, 40_000))),
            audiences: self.dice.percent(25).then(|| BTreeSet::from(["*@*".to_owned()])),
            revoke: self.dice.percent(60),
        }
    }
}

pub(super) fn next(view: &State, issuer: &ServiceId, done: &BTreeSet<KeyId>) -> Option<KeyId> {
    let mut theirs = view.circle().filter(|known| known.issuer.same_service(issuer));
    theirs.find(|known| !done.contains(&known.kid)).map(|known| known.kid.clone())
}
