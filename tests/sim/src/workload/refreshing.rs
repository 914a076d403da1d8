//! Uses of refresh tokens: by the pair or the refresh token alone, with changes, and with the same request again.

use std::sync::Arc;

use circlet_authority::{Action, Actor, Outcome, RefreshOverrides, RefreshToken, Refusal, TokenRecord};
use circlet_token::{Lifetime, TokenId};
use sha2::{Digest, Sha256};

use super::requests::{ATTEMPTS, reference_of};
use super::{Held, Reply, Workload, administrator};
use crate::cluster::Computer;
use crate::history::Event;
use crate::linear::token;
use crate::machine::first_word;
use crate::mark::Facts;
use crate::runtime::global_nanos;

/// What is asked for beside a refresh, and by whom.
struct Wish {
    actor: Actor,
    lifetime: Option<Lifetime>,
    shows_access: bool,
}

impl Wish {
    /// Equal for requests that are equal, whoever repeats them.
    fn digest(&self, held: &Held, variant: u8) -> [u8; 32] {
        let shown = if self.shows_access { &*held.text } else { "" };
        let lifetime = self.lifetime.and_then(Lifetime::secs).unwrap_or(0);
        let rest = [&[variant], lifetime.to_be_bytes().as_slice()].concat();
        Sha256::new().chain_update(shown).chain_update(held.record.id.0).chain_update(rest).finalize().into()
    }
}

impl Workload {
    /// At times without the access token, or with another lifetime: administrators may have that, the pair alone doesn't
    /// suffice.
    fn wish(&self) -> Wish {
        let shows_access = self.dice.percent(80);
        let other = || Some(Lifetime::from_secs(self.dice.between(600, 30_000)));
        let (actor, lifetime) = match self.dice.between(0, 99) {
            0..=9 => (administrator(), other()),
            10..=12 => (Actor::RefreshPair, other()),
            _ => (Actor::RefreshPair, None),
        };
        match (&actor, lifetime) {
            (Actor::RefreshPair, Some(_)) => self.count("refresh by the pair, with another lifetime"),
            (_, Some(_)) => self.count("refresh with another lifetime"),
            _ => {}
        }
        if !shows_access {
            self.count("refresh without the access token");
        }
        Wish { actor, lifetime, shows_access }
    }

    /// Uses a refresh token, or repeats a use; with the same request through another node if nobody answers.
    pub(super) async fn refresh(&self, computer: &Computer) {
        let Some(held) = self.some_token() else { return };
        let Some((family, sequence)) = held.record.family else { return };
        self.count("refresh");
        let wish = self.wish();
        let request_digest = wish.digest(&held, u8::from(self.dice.percent(10)));
        let digest = first_word(&request_digest);
        let mut through = None;
        for _ in 0..ATTEMPTS {
            let own = TokenId(self.dice.bytes());
            let request = RefreshToken {
                family,
                sequence,
                access: wish.shows_access.then_some(held.record.id),
                request_digest,
                successor_id: own,
                reference: held.record.reference.map(|_| reference_of(own)),
                overrides: RefreshOverrides { lifetime: wish.lifetime, ..RefreshOverrides::default() },
            };
            let sent = global_nanos();
            let action = Action::RefreshToken(Box::new(request));
            let node = through.as_deref().unwrap_or(computer);
            let reply = self.propose(node, wish.actor.clone(), action).await;
            self.record_refresh(&held.record, &reply, (sequence, digest, own), sent);
            match reply {
                Reply::Decided {
                    outcome: Outcome::Refreshed { record, replay, .. },
                    index,
                    text: Some(text),
                } => {
                    self.check_successor(&held.record, &record, &wish, index);
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

    /// Holds a successor against what was asked for.
    fn check_successor(&self, old: &TokenRecord, successor: &TokenRecord, wish: &Wish, index: u64) {
        let history = &self.cluster.history;
        if matches!(wish.actor, Actor::RefreshPair) && successor.lifetime != old.lifetime {
            let what = "another lifetime, by the pair alone";
            history.tell(&Event::Overreached { what, done: true, index });
        }
        let lifetime = wish.lifetime.unwrap_or(old.lifetime);
        let reference = old.reference.map(|_| reference_of(successor.id));
        if (successor.lifetime, successor.reference) != (lifetime, reference) {
            let what = format!("{}, which follows {}, isn't what was asked for", successor.id, old.id);
            history.accuse("one-successor", what);
        }
    }
}
