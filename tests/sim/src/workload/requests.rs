//! Requests that go through the log.

use std::sync::Arc;

use circlet_authority::{Action, Actor, FamilyId, Generation, IssueToken, Outcome, State, TokenRecord};
use circlet_token::{Audience, Lifetime, Scope, TokenId};
use sha2::{Digest, Sha256};

use super::references::reference_of;
use super::{Held, Reply, Workload, administrator};
use crate::clock::START_MS;
use crate::cluster::Computer;
use crate::history::Event;
use crate::house;
use crate::machine::first_word;
use crate::runtime::global_nanos;

/// A request is tried so often at most.
pub(super) const ATTEMPTS: u32 = 3;
/// Whoever asks again under a key does so within so many seconds, while it is kept.
const REPEATED_SECS: u64 = 10;

impl Workload {
    /// An administrator creates a token for a user. Whether that was decided.
    pub(super) async fn issue(&self, computer: &Computer) -> bool {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        let lifetime = match self.dice.between(0, 99) {
            // Some expire while somebody looks.
            _ if self.is_brief => self.longer(),
            0..=29 => Lifetime::from_secs(self.dice.between(3, 14)),
            30..=32 => Lifetime::FOREVER,
            _ => self.longer(),
        };
        let order = IssueToken { scope: self.scope(), ..self.order_recorded(user, "admin", lifetime) };
        self.issue_by(computer, &administrator(), order, None, true).await
    }

    /// A node asks once more for a token that was issued, as one does that didn't hear the answer.
    pub(super) async fn issue_again(&self, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        // A node that asks again does so within seconds: long before the id could have been purged.
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        let Some(asked) = held.order.filter(|_| held.record.expiry() > now + 60) else { return };
        let (actor, mut order) = asked.as_ref().clone();
        if order.idempotency.is_some() {
            // Here it is the client who asks once more: for another id, under the same key, while that is kept.
            let is_kept = |view: &State| view.now_ms() / 1_000 <= held.record.issued_at + REPEATED_SECS;
            if !self.cluster.view().is_some_and(|view| is_kept(&view)) {
                return;
            }
            self.draw_anew(&mut order);
            self.count("issue repeated under a key");
        }
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
        let order = self.order_recorded(user, user, self.longer());
        let actor = self.bearer(&held.record);
        self.issue_by(computer, &actor, order, Some(held.record.id), true).await;
    }

    /// Longer than a run, or not, where all that is recorded lives for seconds.
    pub(super) fn longer(&self) -> Lifetime {
        let (low, high) = if self.is_brief { (3, 14) } else { (600, 30_000) };
        Lifetime::from_secs(self.dice.between(low, high))
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
    pub(super) fn scope(&self) -> Scope {
        let text = match self.dice.between(0, 9) {
            0..=1 if self.has_neighbours() => "applied-permissions/groups:readers,writers",
            2 if self.has_neighbours() => "applied-permissions/admin",
            3 => "applied-permissions/groups:readers",
            4 => "applied-permissions/groups:writers",
            _ => "applied-permissions/user",
        };
        Scope::parse(text).expect("it is written as one")
    }

    /// What only recorded tokens have comes with some: a reference token, and a key to ask again under.
    pub(super) fn order_recorded(&self, user: &str, owner: &str, lifetime: Lifetime) -> IssueToken {
        let mut order = self.order(user, owner, lifetime);
        order.reference = self.dice.percent(25).then(|| reference_of(order.id));
        let key = || Sha256::new().chain_update("asked for ").chain_update(order.id.0).finalize().into();
        order.idempotency = self.dice.percent(25).then(key);
        order
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

    /// The same order again, if nobody said what became of it: the id makes it the same token, or the key where a client
    /// asks anew. Whether it was decided, and signed unless it was refused.
    pub(super) async fn issue_by(
        &self,
        computer: &Computer,
        actor: &Actor,
        mut order: IssueToken,
        by: Option<TokenId>,
        is_first: bool,
    ) -> bool {
        self.count("issue");
        let begun = global_nanos();
        for _ in 0..ATTEMPTS {
            let action = Action::IssueToken(Box::new(order.clone()));
            match self.propose(computer, actor.clone(), action).await {
                Reply::Decided { outcome: Outcome::Issued(record), index, text: Some(text) } => {
                    let asked = Arc::new((actor.clone(), order));
                    let order = Some(Arc::clone(&asked));
                    let held = Held { record: *record, text, order, plain: false, since: global_nanos() };
                    if is_first {
                        self.record_issued(&held.record, begun);
                    }
                    self.check_issued(&asked.1, &held.record);
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
            if order.idempotency.is_some() {
                self.draw_anew(&mut order);
            }
        }
        false
    }

    /// A node draws the id of a token when it is asked for it, and so what its reference token is.
    fn draw_anew(&self, order: &mut IssueToken) {
        order.id = TokenId(self.dice.bytes());
        order.reference = order.reference.map(|_| reference_of(order.id));
    }

    /// Holds a token that was issued against what was asked for.
    fn check_issued(&self, order: &IssueToken, record: &TokenRecord) {
        let reference = order.reference.map(|_| reference_of(record.id));
        if record.reference != reference || record.lifetime != order.lifetime {
            let what = format!("token {} isn't the one that was asked for", record.id);
            self.cluster.history.accuse("issued-once", what);
        }
        if let Some(key) = order.idempotency {
            let (request, id, at) = (first_word(&key), record.id, record.issued_at);
            self.cluster.history.tell(&Event::IssuedFor { request, id, at });
        }
    }
}
