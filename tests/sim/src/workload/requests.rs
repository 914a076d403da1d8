//! Requests that go through the log.

use std::sync::Arc;

use circlet_authority::{
    Action, Actor, FamilyId, Generation, IssueToken, Outcome, RefreshOverrides, RefreshToken, Refusal,
    TokenRecord,
};
use circlet_token::{Audience, Lifetime, Scope, TokenId};
use sha2::{Digest, Sha256};

use super::{Held, Reply, Workload, administrator};
use crate::clock::START_MS;
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::linear::token;
use crate::machine::first_word;
use crate::mark::Facts;
use crate::runtime::global_nanos;

/// A request is tried so often at most.
const ATTEMPTS: u32 = 3;

impl Workload {
    /// An administrator creates a token for a user. Whether that was decided.
    pub(super) async fn issue(&self, computer: &Computer) -> bool {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        // Some expire while somebody looks.
        let lifetime = if self.dice.percent(30) { (3, 14) } else { (600, 30_000) };
        let lifetime = Lifetime::from_secs(self.dice.between(lifetime.0, lifetime.1));
        let order = IssueToken { scope: self.scope(), ..self.order(user, "admin", lifetime) };
        self.issue_by(computer, &administrator(), order, None, true).await
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
        let actor = self.bearer(&held.record);
        self.issue_by(computer, &actor, order, Some(held.record.id), true).await;
    }

    /// In a circle they are for everybody, as far as somebody has a use for them.
    fn audience(&self) -> Audience {
        match self.has_neighbours() {
            true if self.dice.percent(80) => Audience::any(),
            true => Audience::parse("jfrt@*").expect("it is written as one"),
            false => Audience::service(&self.cluster.service),
        }
    }

    /// What a token of an administrator's making is for: a user, or a group; in a circle it claims at times what others may
    /// limit.
    fn scope(&self) -> Scope {
        let text = match self.dice.between(0, 9) {
            0..=1 if self.has_neighbours() => "applied-permissions/groups:readers,writers",
            2 if self.has_neighbours() => "applied-permissions/admin",
            3 => "applied-permissions/groups:readers",
            4 => "applied-permissions/groups:writers",
            _ => "applied-permissions/user",
        };
        Scope::parse(text).expect("it is written as one")
    }

    pub(super) fn order(&self, user: &str, owner: &str, lifetime: Lifetime) -> IssueToken {
        let id = TokenId(self.dice.bytes());
        IssueToken {
            id,
            generation: Generation::Access,
            subject: house::subject(&self.cluster.service, user),
            scope: Scope::parse("applied-permissions/user").expect("the scope of a user"),
            audience: self.audience(),
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

    /// The same order again, if nobody said what became of it: the id makes it the same token. Whether it was decided, and
    /// signed unless it was refused.
    async fn issue_by(
        &self,
        computer: &Computer,
        actor: &Actor,
        order: IssueToken,
        by: Option<TokenId>,
        is_first: bool,
    ) -> bool {
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
                    self.keep(held.clone());
                    if self.has_neighbours() && self.dice.percent(40) {
                        self.show_one_abroad(&held).await;
                    }
                    return true;
                }
                Reply::Decided { outcome: Outcome::Issued(_), .. } => {
                    self.count("issued, and not signed");
                    return false;
                }
                Reply::Decided { .. } => {
                    self.count("issue refused");
                    return true;
                }
                Reply::NotDone => return false,
                Reply::Unknown => self.count("issue unknown"),
            }
        }
        false
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
                    // A repeat goes on from what the first use gave.
                    let from = Arc::new(Facts::of_record(if replay { &record } else { &held.record }));
                    let held =
                        Held { record: *record, text, order: None, plain: false, since: global_nanos() };
                    let (successor, sum) = (held.record.id, held.sum());
                    self.count(if replay { "refresh repeated" } else { "refresh done" });
                    let event = Event::Refreshed { family, sequence, successor, sum, index, sent, from };
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
                // The family has not ended; nobody refreshes it all the same.
                Some(_) if self.cluster.history.is_of_replaced(old.index) => return,
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
}
