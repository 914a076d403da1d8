//! Requests that go through the log.

use std::sync::Arc;

use circlet_authority::{
    Action, Actor, FamilyId, Generation, IssueToken, Outcome, PresentedToken, RefreshOverrides, RefreshToken,
    Refusal, RevokeBefore, RevokeNote, RevokeTarget, RevokeToken, Revoked, TokenActor, TokenRecord, Whom,
};
use circlet_token::{Algorithm, Audience, Lifetime, Scope, TokenId, Verified};
use openraft_rt::AsyncRuntime;
use sha2::{Digest, Sha256};

use super::{Held, Reply, Workload, administrator, subject_number};
use crate::clock::START_MS;
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::linear::token;
use crate::machine::first_word;
use crate::runtime::{NodeRuntime, global_nanos};

/// A request is tried so often at most.
const ATTEMPTS: u32 = 3;

impl Workload {
    /// An administrator creates a token for a user.
    pub(super) async fn issue(&self, computer: &Computer) {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        // Some expire while somebody looks.
        let lifetime = if self.dice.percent(30) { (3, 14) } else { (600, 30_000) };
        let order = self.order(user, "admin", Lifetime::from_secs(self.dice.between(lifetime.0, lifetime.1)));
        self.issue_by(computer, &administrator(), order, None, true).await;
    }

    /// A node asks once more for a token that was issued, as one does that didn't hear the answer.
    pub(super) async fn issue_again(&self, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        // A node that asks again does so within seconds: long before the id could have been purged.
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        let Some(asked) = held.order.filter(|_| held.record.expiry() > now + 60) else { return };
        let (actor, order) = asked.as_ref().clone();
        let by = match &actor {
            Actor::Token(token) => token.id,
            _ => None,
        };
        self.issue_by(computer, &actor, order, by, false).await;
    }

    /// A user creates another token with a token.
    pub(super) async fn issue_with_token(&self, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        let Some(user) = held.record.subject.user_name() else { return };
        let order = self.order(user, user, Lifetime::from_secs(600));
        let claims = held.record.claims(&self.cluster.service);
        let verified = Verified { claims, key: held.record.kid.clone(), algorithm: Algorithm::EdDsa };
        let actor = Actor::Token(Box::new(TokenActor::of(&verified)));
        self.issue_by(computer, &actor, order, Some(held.record.id), true).await;
    }

    pub(super) fn order(&self, user: &str, owner: &str, lifetime: Lifetime) -> IssueToken {
        let id = TokenId(self.dice.bytes());
        IssueToken {
            id,
            generation: Generation::Access,
            subject: house::subject(&self.cluster.service, user),
            scope: Scope::parse("applied-permissions/user").expect("the scope of a user"),
            // In a circle they are for everybody.
            audience: match self.cluster.neighbour() {
                Some(_) => Audience::any(),
                None => Audience::service(&self.cluster.service),
            },
            lifetime,
            force_revocable: self.dice.percent(70),
            description: None,
            reference: None,
            family: self.dice.percent(60).then(|| FamilyId(self.dice.bytes())),
            owner: Some(house::name(owner)),
            idempotency: None,
            request_digest: Sha256::digest(id.0).into(),
        }
    }

    /// The same order again, if nobody said what became of it: the id makes it the same token.
    async fn issue_by(
        &self,
        computer: &Computer,
        actor: &Actor,
        order: IssueToken,
        by: Option<TokenId>,
        is_first: bool,
    ) {
        self.count("issue");
        let begun = global_nanos();
        for _ in 0..ATTEMPTS {
            let action = Action::IssueToken(Box::new(order.clone()));
            match self.propose(computer, actor.clone(), action).await {
                Reply::Decided { outcome: Outcome::Issued(record), index, text: Some(text) } => {
                    let asked = Some(Arc::new((actor.clone(), order)));
                    let held =
                        Held { record: *record, text, order: asked, plain: false, since: global_nanos() };
                    if is_first {
                        self.record_issued(&held.record, begun);
                    }
                    let (id, sum) = (held.record.id, held.sum());
                    self.cluster.history.tell(&Event::Issued { id, by, index, sum });
                    self.keep(held);
                    return;
                }
                Reply::Decided { outcome: Outcome::Issued(_), .. } => {
                    self.count("issued, and not signed");
                    return;
                }
                Reply::Decided { .. } => {
                    self.count("issue refused");
                    return;
                }
                Reply::NotDone => return,
                Reply::Unknown => self.count("issue unknown"),
            }
        }
    }

    /// Uses a refresh token, or repeats a use; with the same request through another node if nobody answers.
    pub(super) async fn refresh(&self, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        let Some((family, sequence)) = held.record.family else { return };
        self.count("refresh");
        let variant = [u8::from(self.dice.percent(10))];
        let request_digest: [u8; 32] =
            Sha256::new().chain_update(held.text.as_bytes()).chain_update(variant).finalize().into();
        let digest = first_word(&request_digest);
        let mut through = None;
        for _ in 0..ATTEMPTS {
            let own = TokenId(self.dice.bytes());
            let request = RefreshToken {
                family,
                sequence,
                access: Some(held.record.id),
                request_digest,
                successor_id: own,
                reference: None,
                overrides: RefreshOverrides::default(),
            };
            let sent = global_nanos();
            let action = Action::RefreshToken(Box::new(request));
            let node = through.as_deref().unwrap_or(computer);
            let reply = self.propose(node, Actor::RefreshPair, action).await;
            self.record_refresh(&held.record, &reply, (sequence, digest, own), sent);
            match reply {
                Reply::Decided {
                    outcome: Outcome::Refreshed { record, replay, .. },
                    index,
                    text: Some(text),
                } => {
                    let held =
                        Held { record: *record, text, order: None, plain: false, since: global_nanos() };
                    let (successor, sum) = (held.record.id, held.sum());
                    self.count(if replay { "refresh repeated" } else { "refresh done" });
                    let event = Event::Refreshed { family, sequence, successor, sum, index, sent };
                    self.cluster.history.tell(&event);
                    self.keep(held);
                    return;
                }
                Reply::Decided { .. } => {
                    self.count("refresh refused");
                    return;
                }
                Reply::NotDone | Reply::Unknown => {}
            }
            through = self.dice.pick(&self.cluster.running()).cloned();
        }
    }

    /// Keeps what came of a refresh.
    fn record_refresh(&self, old: &TokenRecord, reply: &Reply, asked: (u32, u64, TokenId), sent: u64) {
        let (sequence, digest, own) = asked;
        let step = match reply {
            Reply::Decided { outcome: Outcome::Refreshed { record, replay, .. }, .. } => {
                let successor = record.id;
                if *replay {
                    token::Step::Repeat { sequence, digest, successor, own }
                } else {
                    token::Step::Use { sequence, digest, successor }
                }
            }
            Reply::Decided { outcome, .. } => match outcome.refusal() {
                Some(Refusal::RefreshUsed) => token::Step::UsedUp { sequence },
                Some(Refusal::RefreshRevoked) => token::Step::Gone,
                _ => return,
            },
            Reply::Unknown => {
                let successor = own;
                self.record_token(old, token::Step::MaybeUse { sequence, digest, successor }, sent, false);
                self.record_token(
                    old,
                    token::Step::MaybeReplace { sequence, digest, successor },
                    sent,
                    false,
                );
                return;
            }
            Reply::NotDone => return,
        };
        self.record_token(old, step, sent, true);
    }

    /// An administrator revokes a token by its id or its value, or its family.
    pub(super) async fn revoke(self: &Arc<Self>, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        self.count("revoke");
        let record = &held.record;
        let target = match record.family {
            Some((family, sequence)) if self.dice.percent(40) => RevokeTarget::Family { family, sequence },
            _ if held.plain || self.dice.percent(30) => RevokeTarget::Value(Box::new(self.presented(record))),
            _ => RevokeTarget::Id(record.id),
        };
        let by_id = !matches!(target, RevokeTarget::Family { .. });
        let action = Action::RevokeToken(Box::new(RevokeToken { target, cascade: false }));
        let sent = global_nanos();
        let reply = self.propose(computer, administrator(), action).await;
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
                if by_id && self.dice.percent(35) {
                    drop(NodeRuntime::spawn(Arc::clone(self).hunt(held.clone())));
                }
                if record.revocable && self.dice.percent(60) {
                    drop(NodeRuntime::spawn(Arc::clone(self).hunt_abroad(held.clone())));
                }
            }
            Reply::Decided { .. } => self.count("revoke refused"),
            Reply::Unknown if self.believes_unknown() => self.tell_revoked(Some(record.id), None, u64::MAX),
            Reply::Unknown | Reply::NotDone => self.count("revoke unknown"),
        }
    }

    fn tell_revoked(&self, id: Option<TokenId>, family: Option<FamilyId>, index: u64) {
        self.cluster.history.tell(&Event::Revoked { id, family, index });
        if let Some(id) = id.filter(|_| index != u64::MAX) {
            self.tell_abroad(&Event::RevokedAbroad { id });
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

    /// An administrator ends everything of a user that was issued before.
    pub(super) async fn set_watermark(self: &Arc<Self>, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        self.count("watermark");
        let record: &TokenRecord = &held.record;
        let action = Action::RevokeBefore(RevokeBefore::all_of(Whom::Subject(record.subject.clone())));
        let (subject, sent) = (subject_number(record), global_nanos());
        match self.propose(computer, administrator(), action).await {
            Reply::Decided { outcome: Outcome::WatermarkSet { index }, .. } => {
                self.cluster.history.tell(&Event::Watermark { subject, index });
                self.tell_abroad(&Event::WatermarkAbroad { subject, index });
                self.record_end_of(subject, sent, true);
                drop(NodeRuntime::spawn(Arc::clone(self).hunt_abroad(held.clone())));
            }
            Reply::Unknown => self.record_end_of(subject, sent, false),
            _ => {}
        }
    }
}

/// Whether the answer says that the id was not known, and is refused in case that it turns up: of a family it says nothing.
fn is_unseen(revoked: &Revoked) -> bool {
    matches!(revoked.note, RevokeNote::ListedUnseen { .. })
}
