//! Administrators who pair with a neighbour by an invitation, of theirs or of the neighbour's; and those who find one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use circlet_token::ServiceId;
use openraft_rt::AsyncRuntime;

use super::Workload;
use super::parting::{ATTEMPTS, PAUSE};
use crate::circle::{self, Invited, Neighbour, hosts_of};
use crate::cluster::{Cluster, ask};
use crate::history::Event;
use crate::house;
use crate::runtime::NodeRuntime;

/// How often an administrator accepts the same invitation.
const TRIES: u32 = 3;
/// So many of a hundred invitations are accepted once they have expired.
const LATE_PERCENT: u64 = 12;
/// So often it is looked at meanwhile whether they have.
const LATE_LOOKS_MAX: u32 = 120;
/// So many of a hundred neighbours that invite are followed one way.
const ONE_WAY_PERCENT: u64 = 35;
/// So many of a hundred invitations somebody finds once they were used.
const FOUND_PERCENT: u64 = 60;

impl Workload {
    /// Pairs with a neighbour by an invitation, as often as it takes, where one of both has begun anew. Whether it could be
    /// done.
    pub async fn pair_invited(&self, service: &ServiceId) -> bool {
        for _ in 0..ATTEMPTS {
            if !self.limiting.swap(true, Ordering::SeqCst) {
                break;
            }
            NodeRuntime::sleep(PAUSE).await;
        }
        self.cluster.history.tell(&Event::TrustBegins { issuer: service.clone() });
        let mut done = false;
        let neighbours = self.cluster.neighbours();
        let neighbour = neighbours.iter().find(|known| known.service == *service);
        for _ in 0..ATTEMPTS {
            let Some(neighbour) = neighbour.filter(|_| !done) else { break };
            done = self.pair_by_invitation(neighbour, true).await.is_some();
            NodeRuntime::sleep(PAUSE).await;
        }
        self.limiting.store(false, Ordering::SeqCst);
        done
    }

    /// Pairs with a neighbour by an invitation, unless somebody there changes whom it trusts; `mutual`: not one way. As of
    /// which index the neighbour is followed here; nothing if it isn't, or nobody knows.
    pub(super) async fn pair_by_invitation(&self, neighbour: &Neighbour, mutual: bool) -> Option<u64> {
        let theirs = neighbour.cluster().filter(|_| !self.over.load(Ordering::SeqCst))?;
        if theirs.guests.busy.swap(true, Ordering::SeqCst) {
            return None;
        }
        let index = self.meet(neighbour, &theirs, mutual).await;
        theirs.guests.busy.store(false, Ordering::SeqCst);
        index
    }

    async fn meet(&self, neighbour: &Neighbour, theirs: &Arc<Cluster>, mutual: bool) -> Option<u64> {
        let us = &self.cluster.service;
        let back = theirs.neighbours().into_iter().find(|known| known.service == *us)?;
        theirs.history.tell(&Event::TrustBegins { issuer: us.clone() });
        if self.dice.percent(50) {
            let invited = self.invite(&self.cluster, &neighbour.service).await?;
            self.accept(theirs, &back, &invited, false).await?;
            return followed(&self.cluster, &neighbour.service).await.map(|(index, _)| index);
        }
        let invited = self.invite(theirs, us).await?;
        let one_way = !mutual && self.dice.percent(ONE_WAY_PERCENT);
        self.accept(&self.cluster, neighbour, &invited, one_way).await
    }

    /// An administrator of this cluster makes an invitation; for somebody else now and then, or for whoever comes.
    async fn invite(&self, host: &Arc<Cluster>, guest: &ServiceId) -> Option<Invited> {
        let computer = self.dice.pick(&host.running()).cloned()?;
        let guest = match self.dice.between(0, 9) {
            0 => Some(house::OTHERS.clone()),
            1..=3 => None,
            _ => Some(guest.clone()),
        };
        let (hosts, id) = (hosts_of(host), self.dice.bytes());
        let made = ask(&computer, move |member| circle::invite(member, guest, hosts, id)).await;
        let Some(Ok(invited)) = made else {
            self.count("invitation not made");
            return None;
        };
        self.count("invitation made");
        host.guests.invite(&invited);
        if self.dice.percent(LATE_PERCENT) {
            self.count("invitation kept for too long");
            until_expired(host, &invited).await;
        }
        Some(invited)
    }

    /// An administrator of the guest's accepts an invitation, once more where that fails. As of which index.
    async fn accept(
        &self,
        guest: &Arc<Cluster>,
        host: &Neighbour,
        invited: &Invited,
        one_way: bool,
    ) -> Option<u64> {
        for _ in 0..TRIES {
            let computer = self.dice.pick(&guest.running()).cloned()?;
            let (host_too, text, hosts) = (host.clone(), invited.text.clone(), hosts_of(guest));
            let accepted =
                ask(&computer, move |member| circle::accept(member, host_too, text, hosts, one_way));
            match accepted.await {
                Some(Ok(index)) if one_way => {
                    self.count("invitation accepted one way");
                    return Some(index);
                }
                Some(Ok(index)) => {
                    self.count("invitation accepted");
                    self.look(guest, host).await;
                    if self.dice.percent(FOUND_PERCENT) {
                        self.find(guest, host, invited).await;
                    }
                    return Some(index);
                }
                Some(Err(_)) => self.count("invitation not accepted"),
                None => self.count("invitation accepted, unanswered"),
            }
            NodeRuntime::sleep(PAUSE).await;
        }
        None
    }

    /// Whether whoever invited follows its guest.
    async fn look(&self, guest: &Cluster, host: &Neighbour) {
        let Some(theirs) = host.cluster() else { return };
        if let Some((_, followed)) = followed(&theirs, &guest.service).await {
            theirs.history.tell(&Event::GuestLooked { issuer: guest.service.clone(), followed });
        }
    }

    /// Somebody finds an invitation that was used, and comes with it as a stranger or in the name of the guest.
    async fn find(&self, guest: &Cluster, host: &Neighbour, invited: &Invited) {
        let name = if self.dice.percent(50) { &guest.service } else { &*house::OTHERS };
        self.count(match host.find(&invited.text, name).await {
            Ok(()) => "found invitation honoured",
            Err(_) => "found invitation in vain",
        });
    }
}

/// By a fresh view of this cluster: its index, and whether it follows that one and is followed.
async fn followed(cluster: &Cluster, issuer: &ServiceId) -> Option<(u64, bool)> {
    for computer in cluster.running() {
        let fresh = ask(&computer, |member| async move { circle::fresh(&member).await.ok() }).await;
        if let Some(published) = fresh.flatten() {
            let followed = published.view.member(issuer).is_some_and(|member| member.mutual);
            return Some((published.index, followed));
        }
    }
    None
}

/// Until the time of this cluster's state is beyond the end of an invitation.
async fn until_expired(cluster: &Cluster, invited: &Invited) {
    let is_over = || {
        let view = cluster.view()?;
        let invite = view.invite(&invited.hash)?;
        Some(invite.expires_at <= view.now_ms() / 1_000)
    };
    for _ in 0..LATE_LOOKS_MAX {
        if is_over() == Some(true) {
            return;
        }
        NodeRuntime::sleep(Duration::from_millis(100)).await;
    }
}
