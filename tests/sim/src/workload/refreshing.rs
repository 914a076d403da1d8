//! Uses of refresh tokens: by the pair or the refresh token alone, with changes, and with the same request again.

use std::sync::Arc;

use circlet_authority::{Action, Outcome, RefreshToken, Refusal, TokenRecord};
use circlet_token::TokenId;

use super::references::{Named, reference_of};
use super::requests::ATTEMPTS;
use super::wishing::Wish;
use super::{Held, Reply, Workload};
use crate::cluster::Computer;
use crate::history::Event;
use crate::linear::token;
use crate::machine::first_word;
use crate::mark::Facts;
use crate::runtime::global_nanos;

impl Workload {
    /// Uses a refresh token, or repeats a use. What somebody was given who showed more than the pair is at times asked for
    /// again with nothing else.
    pub(super) async fn refresh(&self, computer: &Computer) {
        let Some(held) = self.some_token().filter(|held| held.record.family.is_some()) else { return };
        self.count("refresh");
        let wish = self.wish(&held);
        self.use_once(computer, &held, &wish).await;
        if wish.shows_reference && self.dice.percent(50) {
            self.count("refresh by reference repeated");
            self.use_once(computer, &held, &wish).await;
        }
        if wish.asks_for_more() && self.dice.percent(50) {
            self.count("refresh with changes repeated by the pair");
            self.use_once(computer, &held, &wish.by_the_pair()).await;
        }
    }

    /// With the same request through another node if nobody answers.
    async fn use_once(&self, computer: &Computer, held: &Held, wish: &Wish) {
        let Some((family, sequence)) = held.record.family else { return };
        let request_digest = wish.digest(held, self.cluster.history.plant());
        let digest = first_word(&request_digest);
        let mut through = None;
        for _ in 0..ATTEMPTS {
            let own = TokenId(self.dice.bytes());
            let node = through.as_deref().unwrap_or(computer);
            if wish.shows_reference {
                match self.named_in_pair(node, held, family).await {
                    Named::Token(_) => {}
                    Named::Unknown => return,
                    Named::Unanswered => {
                        through = self.dice.pick(&self.cluster.running()).cloned();
                        continue;
                    }
                }
            }
            let request = RefreshToken {
                family,
                sequence,
                access: wish.access(held),
                request_digest,
                successor_id: own,
                reference: wish.reference.then(|| reference_of(own)),
                overrides: wish.changes.clone(),
            };
            let sent = global_nanos();
            let action = Action::RefreshToken(Box::new(request));
            let reply = self.propose(node, wish.actor.clone(), action).await;
            self.record_refresh(&held.record, &reply, (sequence, digest, own), sent);
            match reply {
                Reply::Decided {
                    outcome: Outcome::Refreshed { record, replay, .. },
                    index,
                    text: Some(text),
                } => {
                    self.check_successor(&held.record, &record, wish);
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
            Reply::Decided { outcome, index, .. } => match outcome.refusal() {
                // The family has not ended; nobody refreshes it all the same.
                Some(_) if self.cluster.history.is_of_replaced(old.index) => return,
                Some(Refusal::RefreshUsedFamilyRevoked) => {
                    self.count("reuse ended a family");
                    self.tell_revoked(None, old.family.map(|(family, _)| family), *index);
                    token::Step::End
                }
                Some(Refusal::RefreshUsed) => token::Step::UsedUp { sequence },
                Some(Refusal::RefreshRevoked) => token::Step::Gone,
                _ => return,
            },
            Reply::Unknown => {
                if self.cluster.view().is_none_or(|view| view.config().revoke_family_on_reuse) {
                    self.record_token(old, token::Step::MaybeEnd, sent, false);
                }
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
