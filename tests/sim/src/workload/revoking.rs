//! Administrators who revoke a token, by whatever name, and maybe all that was created with it.

use std::sync::Arc;

use circlet_authority::{
    Action, Actor, Descendants, FamilyId, Outcome, PresentedToken, RevokeNote, RevokeTarget, RevokeToken,
    Revoked, TokenActor, TokenRecord,
};
use circlet_token::{Algorithm, TokenId, Verified};
use openraft_rt::AsyncRuntime;

use super::references::Named;
use super::{Held, Reply, Workload, administrator};
use crate::cluster::Computer;
use crate::history::{Descendant, Event};
use crate::linear::token;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;

/// A revoke is repeated so often at most until nothing is left.
const REPEATS: u32 = 20;
/// Of what ended with a revoked token so much is shown again.
const HUNTED: usize = 3;

impl Workload {
    /// An administrator revokes a token by its id or its value, or its family.
    pub(super) async fn revoke(self: &Arc<Self>, computer: &Computer) {
        let cascade = self.dice.percent(30);
        let held = if cascade { self.some_ancestor() } else { self.some_token() };
        if let Some(held) = held {
            self.revoke_held(computer, held, cascade).await;
        }
    }

    /// The same of this one.
    pub(super) async fn revoke_held(self: &Arc<Self>, computer: &Computer, held: Held, cascade: bool) {
        self.count("revoke");
        let record = &held.record;
        let by_reference = record.reference.is_some() && self.dice.percent(40);
        if by_reference {
            self.count("revoke by reference");
            if !matches!(self.named_to_revoke(computer, &held).await, Named::Token(_)) {
                return;
            }
        }
        let target = match record.family {
            _ if by_reference => RevokeTarget::Id(record.id),
            Some((family, sequence)) if self.dice.percent(40) => RevokeTarget::Family { family, sequence },
            _ if held.plain || self.dice.percent(30) => RevokeTarget::Value(Box::new(self.presented(record))),
            _ => RevokeTarget::Id(record.id),
        };
        let by_id = !matches!(target, RevokeTarget::Family { .. });
        let revoke = RevokeToken { target, cascade };
        let sent = global_nanos();
        // Whoever has a token may end it.
        let actor = if self.dice.percent(15) { self.bearer(record) } else { administrator() };
        let reply = self.propose(computer, actor, action_of(&revoke)).await;
        if !held.plain {
            match &reply {
                Reply::Decided { outcome: Outcome::Revoked(revoked), .. } if !is_unseen(revoked) => {
                    self.record_token(record, token::Step::End, sent, true);
                }
                Reply::Unknown => self.record_token(record, token::Step::MaybeEnd, sent, false),
                _ => {}
            }
        }
        match reply {
            Reply::Decided { outcome: Outcome::Revoked(revoked), index, .. } => {
                self.count("revoke done");
                let family = record.family.filter(|_| !is_unseen(&revoked)).map(|(family, _)| family);
                let named = by_id.then_some(record.id);
                let ids = revoked.ids.iter().copied().chain(named);
                ids.for_each(|id| self.tell_revoked(Some(id), None, index));
                self.tell_revoked(None, family, index);
                // What was revoked while some node lags is what that node may not have heard of.
                if by_id && (self.cluster.wires.laggard().is_some() || self.dice.percent(35)) {
                    drop(NodeRuntime::spawn(Arc::clone(self).hunt(held.clone())));
                }
                if record.revocable && self.dice.percent(60) {
                    self.hunt_abroad(&held);
                }
                if revoke.cascade {
                    self.count("revoke with descendants");
                    self.end_descendants(revoke, revoked.descendants, index).await;
                }
            }
            Reply::Decided { .. } => self.count("revoke refused"),
            Reply::Unknown if self.believes_unknown() => self.tell_revoked(Some(record.id), None, u64::MAX),
            Reply::Unknown | Reply::NotDone => self.count("revoke unknown"),
        }
    }

    /// Some token, and rather one with which others were created.
    pub(super) fn some_ancestor(&self) -> Option<Held> {
        let mut found = self.some_token()?;
        let held = lock(&self.held);
        let parent_of = |one: &Held| held.iter().find(|held| Some(held.record.id) == one.record.parent);
        while let Some(parent) = parent_of(&found).filter(|_| self.dice.percent(80)) {
            found = parent.clone();
        }
        Some(found)
    }

    /// Who shows a token.
    pub(super) fn bearer(&self, record: &TokenRecord) -> Actor {
        let claims = record.claims(&self.cluster.service);
        let verified = Verified { claims, key: record.kid.clone(), algorithm: Algorithm::EdDsa };
        Actor::Token(Box::new(TokenActor::of(&verified)))
    }

    pub(super) fn tell_revoked(&self, id: Option<TokenId>, family: Option<FamilyId>, index: u64) {
        self.cluster.history.tell(&Event::Revoked { id, family, index });
        if let Some(id) = id.filter(|_| index != u64::MAX) {
            self.cluster.history.tell_abroad(&Event::RevokedAbroad { id });
        }
    }

    /// What the bearer of a token shows.
    fn presented(&self, record: &TokenRecord) -> PresentedToken {
        let claims = record.claims(&self.cluster.service);
        PresentedToken {
            id: record.id,
            subject: claims.subject,
            key: record.kid.clone(),
            issued_at: claims.issued_at,
            expires_at: claims.expires_at,
            revocable: claims.revocable,
            index: claims.index,
        }
    }

    /// Repeats a revoke until nothing is left that was created with the token; then all of it has ended, and whatever an
    /// earlier revoke had left. Who gives up leaves it to the next one, or to a purge.
    async fn end_descendants(self: &Arc<Self>, revoke: RevokeToken, first: Descendants, index: u64) {
        let (mut more, mut index) = (first.more, index);
        for _ in 0..REPEATS {
            if !more {
                return self.tell_ended(index);
            }
            let Some(computer) = self.dice.pick(&self.cluster.running()).cloned() else { return };
            let reply = self.propose(&computer, administrator(), action_of(&revoke)).await;
            if let Reply::Decided { outcome: Outcome::Revoked(revoked), index: at, .. } = reply {
                self.count("revoke goes on");
                (more, index) = (revoked.descendants.more, at);
            }
        }
    }

    pub(super) fn tell_ended(self: &Arc<Self>, index: u64) {
        let mut ids = Vec::new();
        for Descendant { id, family, .. } in self.cluster.history.take_descendants(index) {
            self.tell_revoked(id, family, index);
            ids.extend(id);
        }
        let ended: Vec<_> = lock(&self.held)
            .iter()
            .filter(|held| ids.contains(&held.record.id))
            .take(HUNTED)
            .cloned()
            .collect();
        for held in ended {
            self.count("descendant ended");
            drop(NodeRuntime::spawn(Arc::clone(self).hunt(held)));
        }
    }
}

fn action_of(revoke: &RevokeToken) -> Action {
    Action::RevokeToken(Box::new(revoke.clone()))
}

/// Whether the answer says that the id was not known, and is refused in case that it turns up: of a family it says nothing.
fn is_unseen(revoked: &Revoked) -> bool {
    matches!(revoked.note, RevokeNote::ListedUnseen { .. })
}
