//! What is kept of operations, to be judged as a whole at the end.

use std::sync::atomic::Ordering;

use circlet_sim::history::Event;
use circlet_sim::linear::{Object, Operation, Step, token};
use circlet_sim::staleness::with_drift;

use super::held::Held;
use super::issuing::MAX_STALENESS_MS;
use super::marks::Mark;
use super::{Workload, lock};

impl Workload {
    /// Keeps an operation that was asked for at `sent`.
    pub(super) fn record(&self, object: Object, step: Step, sent: u64, answered: Option<u64>) {
        // What the next cluster says, or this one has said, to whoever still shows something around is no history of it.
        if self.is_past.load(Ordering::SeqCst) {
            return;
        }
        self.judge.tell(&Event::Operation(Operation { object, step, sent, answered }));
    }

    /// Keeps one that has just been answered.
    pub(super) fn record_now(&self, object: Object, step: Step, sent: u64) {
        self.record(object, step, sent, Some(self.judge.now()));
    }

    /// Keeps what happened to a token, or to its family.
    pub(super) fn record_token(&self, held: &Held, step: token::Step, sent: u64, is_answered: bool) {
        let answered = is_answered.then(|| self.judge.now());
        self.record(held.object(), Step::Token(step), sent, answered);
    }

    /// Keeps that all tokens of a user ended, or may have.
    pub(super) fn record_end_of(&self, subject: u64, sent: u64, is_answered: bool) {
        let answered = is_answered.then(|| self.judge.now());
        self.record(Object::Subject(subject), Step::Token(token::Step::MaybeEnd), sent, answered);
    }

    /// Keeps what a verification said: only of what can be revoked, and not of what is refused for its key or its user.
    pub(super) fn record_verdict(&self, held: &Held, refused: Option<&str>, sent: u64) {
        let id = held.id;
        let step = match refused {
            _ if !held.revocable => return,
            None => token::Step::Live { id },
            Some("revoked") => token::Step::Dead { id },
            Some(_) => return,
        };
        // So far back a verification may look.
        let looks_back = with_drift(MAX_STALENESS_MS);
        self.record_token(held, step, sent.saturating_sub(looks_back), true);
    }

    /// Keeps what can be said only once everything has been heard: what may have ended by a mark on more than a subject,
    /// and which successor a refresh may have had that was never answered.
    pub(crate) fn record_rest(&self) {
        let held = self.held().clone();
        let marks = lock(&self.marks).clone();
        let maybe = lock(&self.maybe_marks).clone();
        let unheard = lock(&self.unheard).clone();
        let maybe = maybe.into_iter().map(|(whom, sent)| Mark {
            whom,
            below: u64::MAX,
            index: u64::MAX,
            sent,
            ends: true,
        });
        for mark in marks.into_iter().filter(|mark| mark.ends).chain(maybe) {
            let refused = held.iter().filter(|held| !held.is_plain && mark.concerns(held));
            // A successor that nobody knows may be what the mark ends.
            for held in refused.chain(unheard.iter().map(|unheard| &unheard.held)) {
                self.record_token(held, token::Step::MaybeEnd, mark.sent, false);
            }
        }
        self.record_unheard(&unheard);
    }
}
