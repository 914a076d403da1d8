//! A token that can be revoked, or a family of such tokens that follow each other.

use std::collections::BTreeMap;

use circlet_token::TokenId;
use todc_utils::specifications::Specification;

use super::{Object, Operation, Timed};

/// What was asked of it and answered; those that begin with "maybe" were not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields are what their names say; each variant has its sentence")]
pub enum Step {
    /// It was issued.
    Issue { id: TokenId, subject: u64 },
    /// The refresh token of this number was used for the first time.
    Use { sequence: u32, digest: u64, successor: TokenId },
    /// A use was repeated; `own` is the successor that the repeat would have drawn itself.
    Repeat { sequence: u32, digest: u64, successor: TokenId, own: TokenId },
    /// A use, or a repeat of one: whoever was answered doesn't know which. `next` is the number of the refresh token that
    /// came with the successor; it tells whether another successor has had to give way, since its key leaked.
    UseOrRepeat { sequence: u32, digest: u64, successor: TokenId, next: u32 },
    /// A use whose answer never came.
    MaybeUse { sequence: u32, digest: u64, successor: TokenId },
    /// A use whose answer never came may have been a repeat that put another successor in the place of one whose key leaked.
    MaybeReplace { sequence: u32, digest: u64, successor: TokenId },
    /// Refused: the refresh token was used before.
    UsedUp { sequence: u32 },
    /// Refused: what came with the refresh token of this number isn't of its family.
    Unpaired { sequence: u32 },
    /// Refused: the family is revoked.
    Gone,
    /// Revoked, by whatever name.
    End,
    /// A revoke whose answer never came.
    MaybeEnd,
    /// The token was seen to be good.
    Live { id: TokenId },
    /// The token was seen to be revoked, or not there any more.
    Dead { id: TokenId },
}

/// What one copy of it would know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// The number of the refresh token that can be used; zero before it is issued.
    sequence: u32,
    current: Option<TokenId>,
    /// The last use: of which number, and with what.
    used: Option<(u32, u64)>,
    ended: bool,
}

impl State {
    fn issued(id: TokenId) -> Self {
        Self { sequence: 1, current: Some(id), used: None, ended: false }
    }

    fn is_live(&self, id: TokenId) -> bool {
        !self.ended && self.current == Some(id)
    }

    /// With the successor that a first use gives.
    fn used(&self, sequence: u32, digest: u64, successor: TokenId) -> Option<Self> {
        (!self.ended && self.sequence == sequence && sequence > 0).then_some(Self {
            sequence: sequence + 1,
            current: Some(successor),
            used: Some((sequence, digest)),
            ended: false,
        })
    }

    /// With another successor in the place of one whose key leaked.
    fn replaced(&self, sequence: u32, digest: u64, successor: TokenId) -> Option<Self> {
        (!self.ended && self.used == Some((sequence, digest))).then(|| Self {
            sequence: self.sequence + 1,
            current: Some(successor),
            ..self.clone()
        })
    }

    /// With the successor that a use has given, this one or an earlier one.
    fn used_or_repeated(&self, sequence: u32, digest: u64, successor: TokenId, next: u32) -> Option<Self> {
        let is_use = self.sequence == sequence && sequence > 0 && next > sequence;
        let replaces = self.used == Some((sequence, digest)) && self.sequence < next;
        if is_use || replaces {
            let (current, used) = (Some(successor), Some((sequence, digest)));
            return (!self.ended).then_some(Self { sequence: next, current, used, ended: false });
        }
        let repeats = self.used == Some((sequence, digest)) && self.sequence == next;
        (repeats && self.is_live(successor)).then(|| self.clone())
    }

    fn ended(&self) -> Self {
        Self { ended: self.ended || self.sequence > 0, ..self.clone() }
    }

    /// What it becomes; nothing if one copy could not have answered so.
    fn after(&self, step: Step) -> Option<Self> {
        let only_if = |holds: bool| holds.then(|| self.clone());
        match step {
            Step::Issue { id, .. } => (self.sequence == 0).then(|| Self::issued(id)),
            Step::Use { sequence, digest, successor } => self.used(sequence, digest, successor),
            Step::Repeat { sequence, digest, successor, .. }
                if self.used == Some((sequence, digest)) && self.is_live(successor) =>
            {
                Some(self.clone())
            }
            // Its own successor: it took the place of one whose key leaked; or a node asked twice for a first use.
            Step::Repeat { sequence, digest, successor, own } if successor == own => {
                self.used(sequence, digest, successor).or_else(|| self.replaced(sequence, digest, successor))
            }
            Step::Repeat { .. } => None,
            Step::UseOrRepeat { sequence, digest, successor, next } => {
                self.used_or_repeated(sequence, digest, successor, next)
            }
            Step::MaybeUse { sequence, digest, successor } => {
                Some(self.used(sequence, digest, successor).unwrap_or_else(|| self.clone()))
            }
            Step::MaybeReplace { sequence, digest, successor } => {
                Some(self.replaced(sequence, digest, successor).unwrap_or_else(|| self.clone()))
            }
            Step::UsedUp { sequence } => only_if(self.sequence > sequence),
            // The token can be refreshed, or was refreshed last, and then that can be repeated.
            Step::Unpaired { sequence } => {
                let last = self.used.map(|(of, _)| of);
                only_if(self.ended || (self.sequence > sequence && last != Some(sequence)))
            }
            Step::Gone => only_if(self.ended),
            Step::End => (self.sequence > 0).then(|| self.ended()),
            Step::MaybeEnd => Some(self.ended()),
            Step::Live { id } => only_if(self.is_live(id)),
            Step::Dead { id } => only_if(self.sequence > 0 && !self.is_live(id)),
        }
    }
}

/// One copy of it.
#[derive(Debug)]
pub struct Register;

impl Specification for Register {
    type State = State;
    type Operation = Step;

    fn init() -> State {
        State::default()
    }

    fn apply(step: &Step, state: &State) -> (bool, State) {
        state.after(*step).map_or_else(|| (false, state.clone()), |next| (true, next))
    }
}

/// Whom it was issued to.
pub(super) fn subject_of(history: &[Timed<Step>]) -> Option<u64> {
    history.iter().find_map(|(step, ..)| match step {
        Step::Issue { subject, .. } => Some(*subject),
        _ => None,
    })
}

/// For each subject, what ended all of its tokens. Each of them sees it on its own: what ends one that isn't there yet
/// ends nothing.
pub(super) fn ends_of_subjects(operations: &[Operation]) -> BTreeMap<u64, Vec<Timed<Step>>> {
    let mut ends: BTreeMap<u64, Vec<Timed<Step>>> = BTreeMap::new();
    for operation in operations {
        if let Object::Subject(subject) = operation.object {
            // "Maybe" also where it is certain: that it happened says nothing of a token that came later.
            let end = (Step::MaybeEnd, operation.sent, operation.answered);
            ends.entry(subject).or_default().push(end);
        }
    }
    ends
}

/// A history without what can't matter beside the rest of it.
///
/// Nothing that was revoked comes back, and no number of a refresh token either. So of answers that say that something was
/// over the first decides, and of those that say that it was not the last to be asked, and the first to be answered, since
/// it had to be issued by then. Of revokes that were never answered, the first to be asked may happen whenever a later one
/// may.
pub(super) fn outermost(history: Vec<Timed<Step>>) -> Vec<Timed<Step>> {
    let mut kept: Vec<Timed<Step>> = Vec::new();
    for (step, sent, answered) in history {
        let alike = |other: &&mut Timed<Step>| other.0 == step && answered.is_some() == other.2.is_some();
        let ends = |operation: &Timed<Step>| operation.2.unwrap_or(u64::MAX);
        let new = (step, sent, answered);
        match step {
            Step::Gone | Step::UsedUp { .. } | Step::Dead { .. } => match kept.iter_mut().find(alike) {
                Some(other) if ends(&new) < ends(other) => *other = new,
                Some(_) => {}
                None => kept.push(new),
            },
            Step::MaybeEnd if answered.is_none() => match kept.iter_mut().find(alike) {
                Some(other) => other.1 = other.1.min(sent),
                None => kept.push(new),
            },
            Step::Live { .. } => {
                let same: Vec<usize> =
                    (0..kept.len()).filter(|at| kept.get(*at).is_some_and(|other| other.0 == step)).collect();
                match same.as_slice() {
                    [first, last] => {
                        if kept.get(*first).is_some_and(|other| ends(&new) < ends(other)) {
                            kept.splice(*first..=*first, [new]);
                        }
                        if kept.get(*last).is_some_and(|other| sent > other.1) {
                            kept.splice(*last..=*last, [new]);
                        }
                    }
                    _ => kept.extend([new, new]),
                }
            }
            _ => kept.push(new),
        }
    }
    kept
}
