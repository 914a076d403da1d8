//! Administrators who end the trust in a neighbour, and begin it again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_authority::{
    Action, ApproveMember, DismissMember, DistrustIssuer, IssuerLimits, KeyState, State, TrustIssuer,
};
use circlet_token::ServiceId;
use openraft_rt::AsyncRuntime;

use super::limiting::next;
use super::{Reply, Workload, administrator};
use crate::circle::Neighbour;
use crate::cluster::Computer;
use crate::history::Event;
use crate::runtime::NodeRuntime;

/// For how long they are apart at most, in milliseconds.
const APART_MS_MAX: u64 = 5_000;
/// So many of a hundred attempts are made by an invitation.
const INVITED_PERCENT: u64 = 70;
/// Between two attempts to be together again.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// More than the longest fault lets fail.
pub(super) const ATTEMPTS: u32 = 600;

impl Workload {
    /// An administrator ends the trust in a neighbour, and begins it again a while later. Nobody limits one meanwhile.
    pub(super) async fn part(&self, computer: &Computer) {
        let Some(neighbour) = self.dice.pick(&self.cluster.neighbours()).cloned() else { return };
        if self.expects_guests() || self.limiting.swap(true, Ordering::SeqCst) {
            return;
        }
        self.count("neighbour dismissed");
        let issuer = &neighbour.service;
        let ended = self.dismiss(computer, issuer).await;
        match ended {
            Some(index) => self.cluster.history.tell(&Event::TrustEnded { issuer: issuer.clone(), index }),
            None => self.count("neighbour dismissed in part"),
        }
        // Whoever has overheard what it said when it was let in says so again.
        let guest = neighbour.cluster().map(|theirs| theirs.neighbours()).unwrap_or_default();
        let us = &self.cluster.service;
        guest.iter().filter(|known| known.service == *us).for_each(Neighbour::repeat_guest);
        NodeRuntime::sleep(Duration::from_millis(self.dice.between(0, APART_MS_MAX))).await;
        // Nobody is left to do it where the cluster was lost meanwhile.
        if self.over.load(Ordering::SeqCst) {
            return;
        }
        self.cluster.history.tell(&Event::TrustBegins { issuer: issuer.clone() });
        // Where something was left of the trust before, so were its limits.
        self.begin_again(&neighbour, ended.is_some()).await;
        self.limiting.store(false, Ordering::SeqCst);
    }

    /// Whether somebody may come by an invitation: then nobody is shut out or limited.
    pub(super) fn expects_guests(&self) -> bool {
        self.cluster.view().is_none_or(|view| self.cluster.guests.are_expected(&view))
    }

    /// An administrator pairs with a neighbour that began anew, or after beginning anew. Whoever changes the trust in it is let
    /// finish first.
    pub async fn pair(&self, service: &ServiceId) {
        for _ in 0..ATTEMPTS {
            if !self.limiting.swap(true, Ordering::SeqCst) {
                break;
            }
            NodeRuntime::sleep(PAUSE).await;
        }
        for neighbour in self.cluster.neighbours().iter().filter(|known| known.service == *service) {
            self.cluster.history.tell(&Event::TrustBegins { issuer: service.clone() });
            self.approve_at_last(neighbour).await;
        }
        self.limiting.store(false, Ordering::SeqCst);
    }

    /// Approves a neighbour anew, as often as it takes. Nothing comes back where that is too often.
    pub(super) async fn approve_at_last(&self, neighbour: &Neighbour) -> Option<u64> {
        for _ in 0..ATTEMPTS {
            let index = if self.dice.percent(INVITED_PERCENT) {
                self.pair_by_invitation(neighbour, false).await
            } else {
                self.approve_anew(neighbour).await
            };
            if let Some(index) = index {
                self.count("neighbour approved anew");
                return Some(index);
            }
            NodeRuntime::sleep(PAUSE).await;
        }
        None
    }

    /// Dismisses a member and distrusts each of its certificates, as the product does. As of which index that is done; `None`
    /// if it is not, or nobody knows.
    pub(super) async fn dismiss(&self, computer: &Computer, issuer: &ServiceId) -> Option<u64> {
        let mut index =
            self.done(computer, Action::DismissMember(DismissMember { issuer: issuer.clone() })).await?;
        let view = || computer.node().map(|(_, member)| Arc::clone(&member.published().view));
        let mut done = BTreeSet::new();
        while let Some(kid) = next(&*view()?, issuer, &done) {
            index = self.done(computer, Action::DistrustIssuer(DistrustIssuer { kid: kid.clone() })).await?;
            done.insert(kid);
        }
        Some(index)
    }

    /// Approves a neighbour as it introduces itself now, and trusts its keys, through some node.
    async fn approve_anew(&self, neighbour: &Neighbour) -> Option<u64> {
        let computer = self.dice.pick(&self.cluster.running()).cloned()?;
        let (approved, theirs) = neighbour.introduced().await?;
        let approve = ApproveMember { approved, invite: None, mutual: true };
        let mut index = self.done(&computer, Action::ApproveMember(Box::new(approve))).await?;
        for trust in introduced_keys(&theirs) {
            let view = Arc::clone(&computer.node()?.1.published().view);
            if view.trusted(&trust.kid).is_some() || view.has_ended(&neighbour.service, &trust.kid) {
                continue;
            }
            let limits = view.shared_limits(&neighbour.service).unwrap_or_default();
            let trust = TrustIssuer { limits, ..trust };
            index = self.done(&computer, Action::TrustIssuer(Box::new(trust))).await?;
        }
        Some(index)
    }

    async fn done(&self, computer: &Computer, action: Action) -> Option<u64> {
        match self.propose(computer, administrator(), action).await {
            Reply::Decided { outcome, index, .. } if outcome.refusal().is_none() => Some(index),
            _ => None,
        }
    }
}

/// The keys with which a cluster introduces itself.
fn introduced_keys(theirs: &State) -> impl Iterator<Item = TrustIssuer> {
    let good = |state| matches!(state, KeyState::Active | KeyState::Published | KeyState::Retiring);
    let issuer = theirs.service_id();
    theirs.keyring().filter(move |key| good(key.state)).filter_map(move |key| {
        Some(TrustIssuer {
            kid: key.kid.clone(),
            algorithm: key.algorithm,
            spki_der: key.spki_der.clone(),
            certificate_der: key.certificate_der.clone(),
            issuer: issuer?.clone(),
            common_name: issuer?.to_string(),
            not_after: "2099-12-31".to_owned(),
            limits: IssuerLimits::default(),
            file_name: "theirs.crt".to_owned(),
        })
    })
}
