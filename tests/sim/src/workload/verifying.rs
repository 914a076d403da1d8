//! Verifying, by the product's own judgement and its own rule of freshness.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use circlet_raft::Published;
use circlet_token::{
    Algorithm, KeyId, KeySet, Parsed, Reject, Revocation, ServiceId, TokenId, Verified, verify_signature,
};
use openraft_rt::AsyncRuntime;

use super::{Held, PATIENCE, Workload, references, subject_number, witness};
use crate::cluster::{Computer, ask};
use crate::history::{Event, Grant};
use crate::judge::{self, Rules, check_signature};
use crate::machine::Member;
use crate::mark::{Facts, Mark, Target};
use crate::plant::Plant;
use crate::reference;
use crate::reference_token::looks_like_one;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::scope::lock;
use crate::vouch::{Opinion, Unvouched, vouch};

/// What came of a verification.
pub enum Verdict {
    /// By a view at this index, of a node that had or hadn't proved freshness; with what it may do if it is another
    /// cluster's.
    Accepted {
        /// The view's index.
        view: u64,
        /// Whether the node had proved freshness.
        proved: bool,
        /// How old the view was when the node had judged, by its boot clock, in milliseconds.
        age_ms: Option<u64>,
        /// Which token it is.
        id: Option<TokenId>,
        /// What it may do.
        grant: Option<Box<Grant>>,
    },
    /// By a view at this index, of a node that had or hadn't proved freshness.
    Refused {
        /// Why.
        why: Reject,
        /// The view's index.
        view: u64,
        /// Whether the node had proved freshness.
        proved: bool,
    },
    /// The node couldn't vouch for it.
    Stale,
}

/// Has the node that is being polled judge a token.
pub async fn judged(member: Arc<Member>, text: Arc<str>) -> Verdict {
    let Some(node) = witness::Node::here(Arc::clone(&member)) else { return Verdict::Stale };
    let by_reference = looks_like_one(&text);
    let opinion = |published: &Arc<Published<State>>| {
        let (view, index) = (&published.view, published.index);
        let seen = Arc::clone(published);
        let now = node.now_secs(view);
        let signed = |own: &ServiceId, keys: &Arc<KeySet>| {
            if by_reference {
                return reference::resolve(view, own, &text).map(Arc::new);
            }
            check_signature(&text, keys).map(|read| misread(node.plant(), view, read))
        };
        match judge::judge(view, now, Rules::HERE, signed) {
            Ok(good) => {
                let feed = good.feed.filter(|_| node.plant() != Plant::AnyFeedAge);
                let found = (index, seen, good.verified.claims.id, grant(view, &good.verified));
                Opinion::Good { found, needs_freshness: good.needs_freshness, feed }
            }
            Err(why) if forgives(node.plant(), &why, &text, view) => {
                let found = (index, seen, None, granted_beyond(node.plant(), &text, view));
                Opinion::Good { found, needs_freshness: false, feed: None }
            }
            Err(why) => {
                let hasty = by_reference && node.plant() == Plant::HastyReferences;
                Opinion::Refused { may_change: judge::may_change(&why) && !hasty, why: (index, why) }
            }
        }
    };
    if node.plant() == Plant::HastyRefusals
        && let Opinion::Refused { why: (view, why), .. } = opinion(&member.published())
    {
        return Verdict::Refused { why, view, proved: node.has_proved() };
    }
    match vouch(&node, opinion).await {
        Ok((view, seen, id, grant)) => {
            let age_ms = witness::Node::age_ms(&seen, node.boot_ms());
            Verdict::Accepted { view, proved: node.has_proved(), age_ms, id, grant }
        }
        Err(Unvouched::Refused((view, why))) => Verdict::Refused { why, view, proved: node.has_proved() },
        Err(Unvouched::Stale(_) | Unvouched::TooSlow | Unvouched::FeedStale { .. }) => Verdict::Stale,
    }
}

/// What a token of another cluster may do here.
fn grant(view: &State, verified: &Verified) -> Option<Box<Grant>> {
    let claims = &verified.claims;
    if view.service_id() == Some(&claims.issuer) {
        return None;
    }
    let rights = view.rights_of(verified);
    Some(Box::new(Grant {
        issuer: claims.issuer.clone(),
        lifetime: claims.expires_at.map(|at| at.saturating_sub(claims.issued_at)),
        expires_at: claims.expires_at,
        audience: claims.audience.as_str().to_owned(),
        claimed: claims.scope.groups().map(str::to_owned).collect(),
        groups: rights.groups,
        admin: rights.admin,
    }))
}

/// What a token says, as a planted bug reads it: a neighbour's as if it had been issued before any time.
fn misread(plant: Plant, view: &State, mut read: Verified) -> Arc<Verified> {
    if plant == Plant::DeafToStretchesAbroad && view.service_id() != Some(&read.claims.issuer) {
        read.claims.issued_at = 0;
    }
    Arc::new(read)
}

/// Whether a planted bug overlooks what is wrong with a token.
fn forgives(plant: Plant, why: &Reject, text: &str, view: &State) -> bool {
    match (plant, why) {
        (Plant::BelievedReferences, Reject::Revoked { why: Revocation::Unrecorded }) => looks_like_one(text),
        (Plant::UnlistedHeirs, Reject::Revoked { why: Revocation::Unrecorded }) => !looks_like_one(text),
        (Plant::AcceptTainted, Reject::Revoked { why: Revocation::KeyTainted { .. } })
        | (Plant::AnyKey, Reject::UnknownKey { .. })
        | (Plant::DeafToDisabled, Reject::Revoked { why: Revocation::UserDisabled })
        | (Plant::OverQuota, Reject::Revoked { why: Revocation::ForeignUnknown { .. } })
        | (Plant::Unlimited, Reject::Revoked { why: Revocation::IssuerLimits { .. } }) => true,
        (Plant::DeafToMarks, Reject::Revoked { why: Revocation::Watermark }) => {
            let parsed = Parsed::parse(text).map(Parsed::into_claims);
            parsed.is_ok_and(|claims| view.member(&claims.issuer).is_some())
        }
        (Plant::DeafToMarksOnPlain, Reject::Revoked { why: Revocation::Watermark }) => {
            let read = check_signature(text, view.key_set());
            read.is_ok_and(|verified| !view.is_revocable(&verified))
        }
        (_, Reject::Revoked { why: Revocation::Watermark }) => overlooks(plant, text, view),
        (
            Plant::RestoreTrustsKeys,
            Reject::UnknownKey { .. } | Reject::Revoked { why: Revocation::KeyTainted { .. } },
        ) => view.generation() > 1,
        (Plant::DeafToTaints, Reject::UnknownKey { kid: Some(kid), issuer }) => {
            KeyId::parse(kid).is_ok_and(|kid| view.has_ended(issuer, &kid))
        }
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

/// What a token may do where a planted bug overlooks its issuer's limits.
fn granted_beyond(plant: Plant, text: &str, view: &State) -> Option<Box<Grant>> {
    let parsed = Parsed::parse(text).ok().filter(|_| plant == Plant::Unlimited)?;
    let key = verify_signature(&parsed, view.key_set()).ok()?;
    grant(view, &Verified { key, algorithm: Algorithm::EdDsa, claims: parsed.into_claims() })
}

/// After a revoke its token is shown again this much later than the bound, in milliseconds.
pub(super) const LATER_MS: [u64; 6] = [1, 60, 150, 300, 600, 1_200];
/// To one that hears everything late, also so much later.
const LATER_MS_TO_LAGGARD: [u64; 4] = [25, 90, 200, 400];

impl Workload {
    /// Shows a revoked token to every node, several times, from the moment on at which each must refuse it, now and then to ask
    /// for another with it; to one that hears everything late still more often.
    pub(super) async fn hunt(self: Arc<Self>, held: Held) {
        let (begun, laggard) = (global_nanos(), self.cluster.wires.laggard());
        let often = LATER_MS_TO_LAGGARD.iter().filter(|_| laggard.is_some()).map(|ms| (*ms, laggard));
        let mut later: Vec<_> = LATER_MS.iter().map(|ms| (*ms, None)).chain(often).collect();
        later.sort_unstable();
        for (later_ms, to) in later {
            let at = self.cluster.history.staleness_ends(begun) + later_ms * 1_000_000;
            NodeRuntime::sleep(Duration::from_nanos(at.saturating_sub(global_nanos()))).await;
            let running = self.cluster.running();
            for computer in running.into_iter().filter(|computer| to.is_none_or(|to| computer.id == to)) {
                let (this, held) = (Arc::clone(&self), held.clone());
                let shown_for_another = self.dice.percent(15);
                drop(NodeRuntime::spawn(async move {
                    if shown_for_another {
                        this.issue_plain_with(&computer, &held).await;
                    } else {
                        this.show(&computer, held).await;
                    }
                }));
            }
        }
    }

    /// The same of some token that this key has signed, which has leaked.
    pub(super) fn hunt_key(self: &Arc<Self>, kid: &KeyId) {
        if let Some(held) = self.signed_by(kid) {
            drop(NodeRuntime::spawn(Arc::clone(self).hunt(held)));
        }
    }

    /// The latest token of a key that can be revoked.
    pub(super) fn signed_by(&self, kid: &KeyId) -> Option<Held> {
        let signed = |held: &&Held| held.record.kid == *kid && held.record.revocable;
        lock(&self.held).iter().rev().find(signed).cloned()
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
        if let Verdict::Accepted { view, age_ms, .. } = &verdict {
            let (kid, view, age_ms) = (kid.clone(), *view, *age_ms);
            self.cluster.history.tell(&Event::Vouched { node, kid, view, sent, age_ms });
        }
        Some(verdict)
    }

    /// Shows a token, or its reference token, to a node.
    pub(super) async fn show(&self, computer: &Computer, held: Held) {
        let (node, sent) = (computer.id, global_nanos());
        let reference = references::text_of(&held.record).filter(|_| self.dice.percent(60));
        let by_reference = reference.is_some();
        let text = reference.unwrap_or_else(|| Arc::clone(&held.text));
        let Some(verdict) = self.present(computer, text, &held.record.kid).await else { return };
        match &verdict {
            Verdict::Accepted { id, .. } if by_reference => {
                self.count("reference token accepted");
                self.check_named(&held, *id);
                self.record_verdict(&held, None, sent);
            }
            Verdict::Accepted { .. } => self.record_verdict(&held, None, sent),
            Verdict::Refused { why: Reject::Revoked { why: Revocation::Unrecorded }, .. } if by_reference => {
                self.count("reference token unknown");
                self.record_unknown(&held, sent);
            }
            Verdict::Refused { why: Reject::Revoked { why }, .. } => {
                self.record_verdict(&held, Some(why), sent);
            }
            _ => {}
        }
        let (accepted, view, proved) = match verdict {
            Verdict::Accepted { view, proved, .. } => (true, view, proved),
            Verdict::Refused { view, proved, .. } => (false, view, proved),
            Verdict::Stale => return,
        };
        self.count(if accepted { "verify accepted" } else { "verify refused" });
        let (id, subject, index) = (held.record.id, subject_number(&held.record), held.record.index);
        let revocable = held.record.revocable;
        self.cluster.history.tell(&Event::Verified {
            node,
            id,
            subject,
            index,
            view,
            sent,
            accepted,
            proved,
            revocable,
        });
    }
}
