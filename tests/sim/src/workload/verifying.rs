//! Verifying, by the product's own judgement and its own rule of freshness.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::Published;
use circlet_token::{KeyId, KeySet, Parsed, Reject, Revocation, ServiceId};
use openraft_rt::AsyncRuntime;

use super::{Held, PATIENCE, Workload, subject_number, witness};
use crate::cluster::{Computer, ask};
use crate::history::Event;
use crate::judge::{self, Rules, check_signature};
use crate::machine::Member;
use crate::mark::{Facts, Mark, Target};
use crate::plant::Plant;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::vouch::{Opinion, Unvouched, vouch};

/// What came of a verification.
pub(super) enum Verdict {
    /// By a view at this index, of a node that had or hadn't proved freshness.
    Accepted {
        view: u64,
        proved: bool,
    },
    Refused(Reject),
    Stale,
}

pub(super) async fn judged(member: Arc<Member>, text: Arc<str>) -> Verdict {
    let Some(node) = witness::Node::here(member) else { return Verdict::Stale };
    let opinion = |published: &Arc<Published<State>>| {
        let now = node.now_secs(&published.view);
        let signed = |_: &ServiceId, keys: &Arc<KeySet>| check_signature(&text, keys).map(Arc::new);
        let found = published.index;
        match judge::judge(&published.view, now, Rules::HERE, signed) {
            Ok(good) => {
                let feed = good.feed.filter(|_| node.plant() != Plant::AnyFeedAge);
                Opinion::Good { found, needs_freshness: good.needs_freshness, feed }
            }
            Err(why) if forgives(node.plant(), &why, &text, &published.view) => {
                Opinion::Good { found, needs_freshness: false, feed: None }
            }
            Err(why) => Opinion::Refused { may_change: judge::may_change(&why), why },
        }
    };
    match vouch(&node, opinion).await {
        Ok(view) => Verdict::Accepted { view, proved: node.has_proved() },
        Err(Unvouched::Refused(why)) => Verdict::Refused(why),
        Err(Unvouched::Stale(_) | Unvouched::TooSlow | Unvouched::FeedStale { .. }) => Verdict::Stale,
    }
}

/// Whether a planted bug overlooks what is wrong with a token.
fn forgives(plant: Plant, why: &Reject, text: &str, view: &State) -> bool {
    match why {
        Reject::Revoked { why: Revocation::KeyTainted { .. } } => plant == Plant::AcceptTainted,
        Reject::Revoked { why: Revocation::Watermark } => {
            (plant == Plant::DeafToMarks && is_of_member(text, view)) || overlooks(plant, text, view)
        }
        Reject::UnknownKey { .. } => plant == Plant::AnyKey,
        _ => false,
    }
}

/// Whether all watermarks on a token are of a kind that a planted bug ignores.
fn overlooks(plant: Plant, text: &str, view: &State) -> bool {
    let ignored = |mark: &Mark| match plant {
        Plant::DeafToStretches => !mark.is_of_all_time(),
        Plant::DeafToKeyMarks => matches!(mark.target, Target::Key(_)),
        Plant::DeafToGroupMarks => !matches!(mark.target, Target::Key(_) | Target::Subject(_)),
        _ => false,
    };
    let Ok(verified) = check_signature(text, view.key_set()) else { return false };
    let facts = Facts::of_claims(&verified.claims, &verified.key);
    let marks: Vec<Mark> = view.watermarks().map(|(whom, mark)| Mark::held(&whom, &mark)).collect();
    let mut ending = marks.iter().filter(|mark| mark.ends(&facts)).peekable();
    ending.peek().is_some() && ending.all(ignored)
}

/// Whether a token is a neighbour's, as it says itself.
fn is_of_member(text: &str, view: &State) -> bool {
    let issuer = Parsed::parse(text).map(|parsed| parsed.into_claims().issuer);
    issuer.is_ok_and(|issuer| view.member(&issuer).is_some())
}

/// After a revoke its token is shown again this much later than the bound, in milliseconds.
pub(super) const LATER_MS: [u64; 6] = [3, 60, 150, 300, 600, 1_200];

impl Workload {
    /// Shows a revoked token to every node, several times, from the moment on at which each must refuse it.
    pub(super) async fn hunt(self: Arc<Self>, held: Held) {
        let begun = global_nanos();
        for later_ms in LATER_MS {
            let at = begun + (2_000 + later_ms) * 1_000_000;
            NodeRuntime::sleep(Duration::from_nanos(at.saturating_sub(global_nanos()))).await;
            for computer in self.cluster.running() {
                let (this, held) = (Arc::clone(&self), held.clone());
                drop(NodeRuntime::spawn(async move { this.show(&computer, held).await }));
            }
        }
    }

    /// Shows some token to a node.
    pub(super) async fn verify(&self, computer: &Computer) {
        if let Some(held) = self.some_token() {
            self.show(computer, held).await;
        }
    }

    /// Has a node judge a token that was signed by this key. Nothing comes back if it can't.
    pub(super) async fn present(&self, computer: &Computer, text: Arc<str>, kid: &KeyId) -> Option<Verdict> {
        let (node, sent) = (computer.id, global_nanos());
        let asked = ask(computer, move |member| judged(member, text));
        let verdict = match NodeRuntime::timeout(PATIENCE, asked).await {
            Ok(Some(Verdict::Stale) | None) | Err(_) => {
                self.count("verify unanswered");
                return None;
            }
            Ok(Some(verdict)) => verdict,
        };
        if let Verdict::Accepted { view, .. } = verdict {
            self.cluster.history.tell(&Event::Vouched { node, kid: kid.clone(), view, sent });
        }
        Some(verdict)
    }

    pub(super) async fn show(&self, computer: &Computer, held: Held) {
        let (node, sent) = (computer.id, global_nanos());
        let Some(verdict) = self.present(computer, Arc::clone(&held.text), &held.record.kid).await else {
            return;
        };
        match &verdict {
            Verdict::Accepted { .. } => self.record_verdict(&held, None, sent),
            Verdict::Refused(Reject::Revoked { why }) => self.record_verdict(&held, Some(why), sent),
            _ => {}
        }
        let (accepted, proved) = match verdict {
            Verdict::Accepted { proved, .. } => (true, proved),
            _ => (false, true),
        };
        self.count(if accepted { "verify accepted" } else { "verify refused" });
        let (id, subject, index) = (held.record.id, subject_number(&held.record), held.record.index);
        let revocable = held.record.revocable;
        self.cluster.history.tell(&Event::Verified {
            node,
            id,
            subject,
            index,
            sent,
            accepted,
            proved,
            revocable,
        });
    }
}
