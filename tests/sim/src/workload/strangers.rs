//! Another cluster, which is trusted at times, and keys that nobody has published.

use std::sync::Arc;

use circlet_authority::{Action, DistrustIssuer};
use circlet_token::{Audience, Claims, Scope, ServiceId, Subject, TokenId, mint};

use super::verifying::Verdict;
use super::{Foreign, Held, Workload};
use crate::clock::START_MS;
use crate::cluster::Computer;
use crate::history::Event;
use crate::house::{self, Pair, THEIRS};
use crate::linear::Object;
use crate::linear::value::{self, ABSENT, GOOD};
use crate::runtime::global_nanos;
use crate::scope::lock;

/// Two seconds.
const WHILE: u64 = 2_000_000_000;
/// So many tokens of each kind are shown to a cluster that begins anew, the latest first.
const TOKENS_SHOWN: usize = 80;
/// And so many that whoever has a key of before signs now.
const OLD_KEYS_SHOWN: usize = 6;

impl Workload {
    /// An administrator trusts another cluster's key, or does so no more.
    pub(super) async fn change_trust(&self, computer: &Computer) {
        let Some(theirs) = self.dice.pick(&*THEIRS) else { return };
        let kid = theirs.kid.clone();
        if self.dice.percent(60) {
            let trust = Action::TrustIssuer(Box::new(theirs.as_theirs()));
            let told = (Object::Issuer(kid), value::Step::Write(GOOD));
            let _ = self.order_done(computer, "issuer trusted", trust, Some(told)).await;
        } else {
            let distrust = Action::DistrustIssuer(DistrustIssuer { kid: kid.clone() });
            let told = (Object::Issuer(kid), value::Step::Write(ABSENT));
            let _ = self.order_done(computer, "issuer distrusted", distrust, Some(told)).await;
        }
    }

    /// Shows a node a token of the other cluster, or one that names us and is signed by a key that nobody has published,
    /// or not yet.
    pub(super) async fn show_strange(&self, computer: &Computer) {
        let drawn = lock(&self.drawn).last().cloned();
        let ours = &self.cluster.service;
        let own;
        let (what, issuer, user, pair) = match self.dice.between(0, 9) {
            0..=5 => match self.dice.pick(&*THEIRS) {
                Some(theirs) => ("foreign token", &*house::OTHERS, "dave", theirs),
                None => return,
            },
            6 => {
                own = self.some_old_pair();
                ("token of an old key", ours, "alice", &own)
            }
            7..=8 => match drawn {
                Some(name) => {
                    own = Pair::named(ours, &name);
                    ("token of a drawn key", ours, "alice", &own)
                }
                None => return,
            },
            _ => {
                own = Pair::named(ours, "a key of nobody's");
                ("forged token", ours, "alice", &own)
            }
        };
        self.count(what);
        let foreign = self.minted(computer, issuer, user, pair);
        lock(&self.shown).push(foreign.clone());
        self.show_foreign(computer, foreign).await;
    }

    /// A pair that our keyring has or had, or was to have, maybe before this cluster began. Somebody has it.
    fn some_old_pair(&self) -> Pair {
        let drawn = lock(&self.drawn).clone();
        let name = self.dice.pick(&drawn).filter(|_| self.dice.percent(80));
        let ours = &self.cluster.service;
        name.map_or_else(|| Pair::first(ours), |name| Pair::named(ours, name))
    }

    /// A token signed by this pair as of now; one that names us says that it is of the node's present index.
    fn minted(&self, computer: &Computer, issuer: &ServiceId, user: &str, pair: &Pair) -> Foreign {
        let index = computer.node().map_or(0, |(_, member)| member.published().index);
        let id = TokenId(self.dice.bytes());
        let claims = self.claims(id, issuer, user, index);
        let text: Arc<str> = mint(&claims, &pair.kid, &pair.signer()).into();
        Foreign { id, text, kid: pair.kid.clone(), at: global_nanos() }
    }

    async fn show_foreign(&self, computer: &Computer, foreign: Foreign) {
        let (node, id) = (computer.id, foreign.id);
        if let Some(verdict) = self.present(computer, Arc::clone(&foreign.text), &foreign.kid).await {
            let accepted = matches!(verdict, Verdict::Accepted { .. });
            if accepted {
                self.count("strange token accepted");
            }
            let own = THEIRS.iter().all(|theirs| theirs.kid != foreign.kid);
            self.cluster.history.tell(&Event::Shown { node, id, own, accepted });
        }
    }

    /// Shows every node what clients had from the cluster before: tokens of its own, and of others from more than a
    /// while before `begun`, the time at which this one began; clocks of good nodes differ by less.
    pub async fn show_what_was(&self, begun: u64) {
        let held: Vec<Held> = lock(&self.held).iter().rev().take(TOKENS_SHOWN).cloned().collect();
        let of_before = |foreign: &&Foreign| foreign.at + WHILE < begun;
        let foreign: Vec<Foreign> =
            lock(&self.shown).iter().rev().filter(of_before).take(TOKENS_SHOWN).cloned().collect();
        for computer in self.cluster.running() {
            for held in &held {
                self.count("token of before shown");
                self.show(&computer, held.clone()).await;
            }
            for foreign in &foreign {
                self.count("foreign token of before shown");
                self.show_foreign(&computer, foreign.clone()).await;
            }
            for _ in 0..OLD_KEYS_SHOWN {
                self.count("token of an old key");
                let forged = self.minted(&computer, &self.cluster.service, "alice", &self.some_old_pair());
                self.show_foreign(&computer, forged).await;
            }
        }
    }

    /// What a plain token of that issuer says, issued now.
    pub(super) fn claims(&self, id: TokenId, issuer: &ServiceId, user: &str, index: u64) -> Claims {
        let now = (START_MS + global_nanos() / 1_000_000) / 1_000;
        Claims {
            revocable: None,
            subject: Subject::user(issuer, &house::name(user)),
            scope: Scope::parse("applied-permissions/user").expect("the scope of a user"),
            audience: Audience::service(&self.cluster.service),
            issuer: issuer.clone(),
            expires_at: Some(now + 60),
            issued_at: now,
            not_before: None,
            id: Some(id),
            index: (*issuer == self.cluster.service).then_some(index),
        }
    }
}
