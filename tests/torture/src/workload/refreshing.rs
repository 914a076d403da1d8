//! Using refresh tokens, once or again.

use std::sync::Arc;

use circlet_authority::FamilyId;
use circlet_sim::history::Event;
use circlet_sim::linear::token::Step;
use circlet_sim::mark::Facts;
use circlet_token::{Parsed, TokenId};
use reqwest::Method;
use serde_json::json;

use super::held::number;
use super::{ATTEMPTS, Held, Reply, TOKENS, Workload, Write, lock};
use crate::client::{Answer, Shown};
use crate::lab::Node;

/// A use of a refresh token of which nobody was told what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Unheard {
    pub(crate) held: Held,
    sequence: u32,
    digest: u64,
    sent: u64,
}

/// One use, for all its attempts.
struct Use<'a> {
    held: &'a Held,
    family: FamilyId,
    sequence: u32,
    digest: u64,
    /// When it was asked for first.
    begun: u64,
}

impl Workload {
    /// Uses a refresh token, or repeats a use; with the same request through another node if nobody answers.
    pub(super) async fn refresh(&self, node: &Arc<Node>) {
        let Some(held) = self.some_token() else { return };
        let Some((family, sequence, refresh)) = held.refresh.clone() else { return };
        if !self.touched.first(held.id) {
            // Used before: if it counts as a theft, it ends the family.
            self.touched.family(family);
        }
        let before = self.touched.before_issue(&held.user);
        let body = json!({
            "grant_type": "refresh_token", "refresh_token": &*refresh, "access_token": &*held.text,
        });
        let digest = number(&body.to_string());
        let this = Use { held: &held, family, sequence, digest, begun: self.judge.now() };
        let mut through = Arc::clone(node);
        let mut is_unheard = false;
        for _ in 0..ATTEMPTS {
            let sent = self.judge.now();
            let write = Write {
                method: Method::POST,
                path: TOKENS.to_owned(),
                shown: Shown::Nothing,
                body: Some(&body),
                idempotency_key: None,
            };
            match self.write(&through, "refresh", write, &[400, 401, 403, 404]).await {
                Reply::Done(answer, index) => {
                    let Some(mut new) = Held::of(&answer, self.judge.now()) else {
                        self.judge.accuse("answers", "what was refreshed can't be read".to_owned());
                        return;
                    };
                    new.origins.clone_from(&held.origins);
                    self.tell_refreshed(&through, &this, &new, index, sent).await;
                    if !self.touched.spared(&held.user, before) {
                        self.touched.tokens([new.id]);
                    }
                    return self.keep(new);
                }
                Reply::Refused(answer) => {
                    self.record_refused(&this, &answer, sent);
                    break;
                }
                Reply::Unknown => is_unheard = true,
            }
            through = self.another(&through).unwrap_or(through);
        }
        if is_unheard {
            let (held, sent) = (held.clone(), this.begun);
            lock(&self.unheard).push(Unheard { held, sequence, digest, sent });
        }
    }

    async fn tell_refreshed(&self, node: &Arc<Node>, this: &Use<'_>, new: &Held, index: u64, sent: u64) {
        let Use { held, family, sequence, digest, begun } = *this;
        let Some((_, next, _)) = &new.refresh else {
            self.judge.accuse("answers", format!("token {} was refreshed for the last time", held.id));
            return;
        };
        let (successor, sum) = (new.id, new.sum());
        lock(&self.successors).insert((family, sequence, *next), (successor, new.kid.clone()));
        let step = Step::UseOrRepeat { sequence, digest, successor, next: *next };
        self.record_token(held, step, begun, true);
        if *next == sequence + 1 || self.explain_replacement(node, this, *next, index).await {
            // Whether it is a repeat is not to be seen from outside: then it went from what it gave, and else from more.
            let Ok(parsed) = Parsed::parse(&new.text) else { return };
            let from = Arc::new(Facts::of_claims(parsed.claims(), &new.kid));
            self.judge.tell(&Event::Refreshed { family, sequence, successor, sum, index, sent, from });
        }
        self.signed(node, new, false, sent).await;
    }

    /// A repeat gave another successor than the use. That is right if the key that signed the one before has leaked. False
    /// if nobody can say whether it has.
    async fn explain_replacement(&self, node: &Arc<Node>, this: &Use<'_>, next: u32, index: u64) -> bool {
        let (family, sequence) = (this.family, this.sequence);
        let before = lock(&self.successors).get(&(family, sequence, next - 1)).cloned();
        let before = before.map(|(_, kid)| kid);
        let mut leaked = self.ledger.tainted(before.as_ref());
        if leaked.is_none() {
            // Whoever said so may not have been answered.
            let is_read = self.read_keys(node).await.is_some();
            leaked = self.ledger.tainted(before.as_ref());
            if leaked.is_none() && !is_read {
                self.judge.count("replacement not judged");
                return false;
            }
        }
        if let Some(kid) = leaked {
            self.judge.count("refresh gave a replacement");
            self.judge.tell(&Event::Replaced { family, sequence, kid, index });
        } else {
            let said = format!("refresh token {sequence} of family {family} was used twice");
            self.judge.accuse("one-successor", said);
        }
        true
    }

    fn record_refused(&self, this: &Use<'_>, answer: &Answer, sent: u64) {
        let detail = answer.body["errors"][0]["detail"].as_str().unwrap_or_default();
        let step = if detail.starts_with("the refresh token has been used before") {
            Step::UsedUp { sequence: this.sequence }
        } else if detail == "the refresh token has been revoked" {
            // The secret may be gone that the token was made of; its family is there.
            if self.touched.ends_with_a_loss(this.held.index) {
                return self.judge.count("refresh refused: a lost node knew its secret");
            }
            Step::Gone
        } else {
            return;
        };
        self.judge.count(if step == Step::Gone {
            "refresh refused: revoked"
        } else {
            "refresh refused: used"
        });
        self.record_token(this.held, step, sent, true);
    }

    /// What was never answered may have been a use, or a repeat that gave a replacement; others may have been told of the
    /// successor.
    pub(super) fn record_unheard(&self, all: &[Unheard]) {
        let told = lock(&self.successors).clone();
        for Unheard { held, sequence, digest, sent } in all {
            let Some((family, ..)) = &held.refresh else { continue };
            let (sequence, digest) = (*sequence, *digest);
            let successors = told.range((*family, sequence, 0)..=(*family, sequence, u32::MAX));
            let known = |wanted: &dyn Fn(u32) -> bool| {
                successors.clone().find(|((.., next), _)| wanted(*next)).map(|(_, (id, _))| *id)
            };
            let nobody = || TokenId(self.dice.bytes());
            let successor = known(&|next| next == sequence + 1).unwrap_or_else(nobody);
            self.record_token(held, Step::MaybeUse { sequence, digest, successor }, *sent, false);
            if self.ledger.tainted(None).is_some() {
                let successor = known(&|next| next > sequence + 1).unwrap_or_else(nobody);
                self.record_token(held, Step::MaybeReplace { sequence, digest, successor }, *sent, false);
            }
        }
    }
}
