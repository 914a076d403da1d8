//! What is kept of operations, to be judged as a whole at the end.

use circlet_authority::TokenRecord;
use circlet_token::Revocation;
use sha2::{Digest, Sha256};

use super::{Held, Workload, subject_number};
use crate::history::Event;
use crate::house;
use crate::linear::{Object, Operation, Step, token};
use crate::machine::first_word;
use crate::runtime::global_nanos;

/// How far back a verification may look, in nanoseconds: the bound of the invariant `revoked-bound`.
pub(super) const LOOKS_BACK: u64 = 2_000_000_000 + 400_000 + 2_000_000;

impl Workload {
    /// A user's number as a subject.
    pub(super) fn number_of(&self, user: &str) -> u64 {
        first_word(&Sha256::digest(house::subject(&self.cluster.service, user).as_str().as_bytes()))
    }

    /// Keeps an operation that was asked for at `sent`.
    pub(super) fn record(&self, object: Object, step: Step, sent: u64, answered: Option<u64>) {
        self.cluster.history.tell(&Event::Operation(Operation { object, step, sent, answered }));
    }

    /// Keeps one that has just been answered.
    pub(super) fn record_now(&self, object: Object, step: Step, sent: u64) {
        self.record(object, step, sent, Some(global_nanos()));
    }

    /// Keeps what happened to a token that is in the log.
    pub(super) fn record_token(&self, record: &TokenRecord, step: token::Step, sent: u64, is_answered: bool) {
        // What is said of tokens of a cluster before this one is not what one copy of them would say.
        if record.index >= self.begun {
            let answered = is_answered.then(global_nanos);
            self.record(Object::of_token(record), Step::Token(step), sent, answered);
        }
    }

    /// Keeps that a token was issued.
    pub(super) fn record_issued(&self, record: &TokenRecord, sent: u64) {
        let step = token::Step::Issue { id: record.id, subject: subject_number(record) };
        self.record_token(record, step, sent, true);
    }

    /// Keeps that all tokens of a user ended, or may have.
    pub(super) fn record_end_of(&self, subject: u64, sent: u64, is_answered: bool) {
        let answered = is_answered.then(global_nanos);
        self.record(Object::Subject(subject), Step::Token(token::Step::MaybeEnd), sent, answered);
    }

    /// Keeps what a verification said. Only of what can be revoked and is in the log: other tokens live to their expiry, or
    /// were issued by a view that may be old.
    pub(super) fn record_verdict(&self, held: &Held, refused: Option<&Revocation>, sent: u64) {
        let record = &held.record;
        if held.plain || !record.revocable {
            return;
        }
        let id = record.id;
        let step = match refused {
            None => token::Step::Live { id },
            Some(Revocation::Listed | Revocation::Watermark) => token::Step::Dead { id },
            // Not the token's own doing.
            Some(_) => return,
        };
        self.record_token(record, step, sent.saturating_sub(LOOKS_BACK), true);
    }
}
