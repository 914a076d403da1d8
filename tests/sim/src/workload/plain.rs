//! Plain tokens: any node signs them by its view, without the log.

use std::sync::Arc;

use circlet_authority::{Action, Actor, Command, IssueRequest, IssueToken, Outcome, TokenClass, TokenRecord};
use circlet_token::Lifetime;
use openraft_rt::AsyncRuntime;

use super::deputy::DEPUTY;
use super::verifying::{Verdict, judged};
use super::{Held, PATIENCE, Workload, signing, subject_number, witness};
use crate::cluster::{Computer, ask};
use crate::history::Event;
use crate::house;
use crate::machine::{Member, tell_given};
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope;
use crate::vouch::{Witness, may_date, may_issue, may_read};

/// What somebody asks a node for, which the log need not know.
pub(super) struct PlainRequest {
    actor: Actor,
    /// The token that is shown with it, if one is.
    shown: Option<Held>,
    order: IssueToken,
}

impl PlainRequest {
    /// That of somebody who gives a password.
    fn of(who: &str, order: IssueToken) -> Self {
        Self { actor: Actor::User { name: house::name(who) }, shown: None, order }
    }
}

impl Workload {
    /// Somebody asks a node for a token that the log need not know: an administrator, the deputy, or a user with a password or
    /// a token, whatever they may, now and then for more than that.
    pub(super) async fn issue_plain(&self, computer: &Computer) {
        let lifetime = self.lifetime_plain();
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        let bearer = self.some_token().filter(|_| self.dice.percent(40));
        let request = match (bearer.and_then(|held| self.request_with(&held)), self.dice.between(0, 5)) {
            (Some(request), _) => request,
            (None, 0..=2) => self.request_for(user, lifetime),
            (None, 3) => {
                self.count("issue plain by the deputy");
                PlainRequest::of(DEPUTY, self.order_plain(user, DEPUTY, lifetime))
            }
            (None, _) => {
                self.count("issue plain with a password");
                PlainRequest::of(user, self.order_own(user, lifetime))
            }
        };
        if let Err(why) = self.have_drafted(computer, request).await {
            self.count(why);
        }
    }

    /// Whoever has this token asks a node for a plain one with it.
    pub(super) async fn issue_plain_with(&self, computer: &Computer, held: &Held) {
        let Some(request) = self.request_with(held) else { return };
        if let Err(why) = self.have_drafted(computer, request).await {
            self.count(why);
        }
    }

    /// An administrator wants a plain token for this user.
    pub(super) fn request_for(&self, user: &str, lifetime: Lifetime) -> PlainRequest {
        PlainRequest::of(house::ADMINISTRATOR, self.order_plain(user, house::ADMINISTRATOR, lifetime))
    }

    /// With what a user wants who shows this token, if it speaks for one.
    fn request_with(&self, held: &Held) -> Option<PlainRequest> {
        let user = held.record.subject.user_name()?;
        self.count("issue plain with a token");
        let order = self.order_own(user, self.lifetime_plain());
        Some(PlainRequest { actor: self.bearer(&held.record), shown: Some(held.clone()), order })
    }

    /// What a user asks for: mostly what users may have.
    fn order_own(&self, user: &str, lifetime: Lifetime) -> IssueToken {
        if !self.dice.percent(20) {
            return self.order_plain(user, user, lifetime);
        }
        self.count("overreach without the log");
        let other = self.dice.pick(&house::USERS).copied().filter(|other| *other != user);
        let (_, order) = self.order_beyond(user, other.unwrap_or("carol"), lifetime);
        plain(order)
    }

    fn order_plain(&self, user: &str, owner: &str, lifetime: Lifetime) -> IssueToken {
        plain(self.order(user, owner, lifetime))
    }

    /// The log would know those that live longer in some clusters.
    fn lifetime_plain(&self) -> Lifetime {
        let most_secs = if self.dice.percent(60) { 3 } else { 8 };
        Lifetime::from_secs(self.dice.between(1, most_secs))
    }

    /// Has a node sign a plain token.
    pub(super) async fn have_drafted(
        &self,
        computer: &Computer,
        request: PlainRequest,
    ) -> Result<Held, &'static str> {
        self.count("issue plain");
        let PlainRequest { actor, shown, order } = request;
        let sent = global_nanos();
        let text = shown.as_ref().map(|held| Arc::clone(&held.text));
        let asked = ask(computer, move |member| drafted(member, actor, text, order, sent));
        let Ok(Some(drafted)) = NodeRuntime::timeout(PATIENCE, asked).await else {
            return Err("issue plain unanswered");
        };
        let (record, text) = drafted?;
        let held = Held { record, text, order: None, plain: true, since: global_nanos() };
        let (id, sum, index) = (held.record.id, held.sum(), held.record.index);
        let by = shown.as_ref().map(|shown| shown.record.id);
        self.cluster.history.tell(&Event::Issued { id, by, index, sum });
        if let Some(shown) = shown {
            self.tell_heard(computer, &shown, index, sent);
        }
        self.keep(held.clone());
        Ok(held)
    }

    /// A node did what was asked for with this token: it has accepted that. Whether it had proved freshness by then, its
    /// signature says.
    fn tell_heard(&self, computer: &Computer, shown: &Held, view: u64, sent: u64) {
        let (node, kid) = (computer.id, shown.record.kid.clone());
        self.cluster.history.tell(&Event::Vouched { node, kid, view, sent, age_ms: None });
        self.cluster.history.tell(&Event::Verified {
            node,
            id: shown.record.id,
            subject: subject_number(&shown.record),
            index: shown.record.index,
            view,
            sent,
            accepted: true,
            proved: true,
            revocable: shown.record.revocable,
        });
    }
}

/// An order of what the log need not know.
fn plain(order: IssueToken) -> IssueToken {
    IssueToken { family: None, force_revocable: false, ..order }
}

/// What the product's use case does for a plain token: asks for a fresh view where the present one is too old or refuses.
async fn drafted(
    member: Arc<Member>,
    actor: Actor,
    shown: Option<Arc<str>>,
    order: IssueToken,
    sent: u64,
) -> Result<(TokenRecord, Arc<str>), &'static str> {
    let node = witness::Node::here(Arc::clone(&member)).ok_or("issue plain unanswered")?;
    let command = Command { actor, action: Action::IssueToken(Box::new(order.clone())) };
    let Command { actor, action } = &command;
    let stale = |_| "issue plain: stale";
    if let Some(text) = shown.filter(|_| node.plant() != Plant::UnvouchedBearers) {
        match judged(Arc::clone(&member), text).await {
            Verdict::Accepted { .. } => {}
            Verdict::Refused { .. } => return Err("issue plain refused"),
            Verdict::Stale => return Err("issue plain: stale"),
        }
    }
    // Before it is looked how old the view is: nobody waits between that and the signature.
    if member.clock_ahead_ms().is_none() {
        member.compare_clocks().await;
    }
    let (mut published, mut proved) = (node.published(), false);
    let planted = node.plant() == Plant::IssueWhenIsolated;
    if !planted && !may_read(&published, node.clocks()) {
        published = node.fresh().await.map_err(stale)?;
    }
    loop {
        let view = &published.view;
        if view.plan_issue(&IssueRequest::of(&order)).class != TokenClass::Plain {
            return Err("issue plain: it would be recorded");
        }
        let allowed = view.authorize(actor, action);
        match allowed.or_else(|why| if node.plant() == Plant::UnaskedDrafts { Ok(()) } else { Err(why) }) {
            Ok(()) if planted || may_issue(&published, node.clocks()) => {
                let drafted = view.draft(actor, &order, node.now_secs(view), published.index);
                let mut record = drafted.map_err(|_| "issue plain refused")?;
                if let Some(next) = view.next_key().filter(|_| node.plant() == Plant::EagerKey) {
                    record.kid = next.kid.clone();
                }
                let text = signing::sign(&member, &published, &record, true, sent);
                let text = text.ok_or("issue plain: no key")?;
                if node.plant() != Plant::DatesAnything && !may_date(view, member.clock_ahead_ms()) {
                    return Err("issue plain: the clock is off");
                }
                node.tell_handed_out(view, &record);
                if let Some(scope) = scope::current() {
                    let outcome = Outcome::Issued(Box::new(record.clone()));
                    tell_given(&scope, view, published.index, &command, &outcome);
                }
                return Ok((record, text));
            }
            Ok(()) if proved => return Err("issue plain: stale"),
            Err(_) if proved => return Err("issue plain refused"),
            _ => {}
        }
        published = node.fresh().await.map_err(stale)?;
        proved = true;
    }
}
