//! Plain tokens: any node signs them by its view, without the log.

use std::sync::Arc;

use circlet_authority::{Action, Actor, IssueRequest, IssueToken, TokenClass, TokenRecord};
use circlet_token::Lifetime;
use openraft_rt::AsyncRuntime;

use super::{Held, PATIENCE, Workload, administrator, signing, witness};
use crate::cluster::{Computer, ask};
use crate::history::Event;
use crate::house;
use crate::machine::Member;
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::vouch::{Witness, may_date, may_issue, may_read};

impl Workload {
    /// Somebody asks a node for a token that the log need not know.
    pub(super) async fn issue_plain(&self, computer: &Computer) {
        let user = self.dice.pick(&house::USERS).copied().unwrap_or("alice");
        // The log would know those that live longer in some clusters.
        let most_secs = if self.dice.percent(60) { 3 } else { 8 };
        let lifetime = Lifetime::from_secs(self.dice.between(1, most_secs));
        if let Err(why) = self.have_drafted(computer, user, lifetime).await {
            self.count(why);
        }
    }

    /// Has a node sign a plain token for this user.
    pub(super) async fn have_drafted(
        &self,
        computer: &Computer,
        user: &str,
        lifetime: Lifetime,
    ) -> Result<Held, &'static str> {
        let mut order = self.order(user, "admin", lifetime);
        (order.family, order.force_revocable) = (None, false);
        self.count("issue plain");
        let sent = global_nanos();
        let asked = ask(computer, move |member| drafted(member, administrator(), order, sent));
        let Ok(Some(drafted)) = NodeRuntime::timeout(PATIENCE, asked).await else {
            return Err("issue plain unanswered");
        };
        let (record, text) = drafted?;
        let held = Held { record, text, order: None, plain: true, since: global_nanos() };
        let (id, sum, index) = (held.record.id, held.sum(), held.record.index);
        self.cluster.history.tell(&Event::Issued { id, by: None, index, sum });
        self.keep(held.clone());
        Ok(held)
    }
}

/// What the product's use case does for a plain token: asks for a fresh view where the present one is too old or refuses.
async fn drafted(
    member: Arc<Member>,
    actor: Actor,
    order: IssueToken,
    sent: u64,
) -> Result<(TokenRecord, Arc<str>), &'static str> {
    let node = witness::Node::here(Arc::clone(&member)).ok_or("issue plain unanswered")?;
    let action = Action::IssueToken(Box::new(order.clone()));
    let stale = |_| "issue plain: stale";
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
        match view.authorize(&actor, &action) {
            Ok(()) if planted || may_issue(&published, node.clocks()) => {
                let drafted = view.draft(&actor, &order, node.now_secs(view), published.index);
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
