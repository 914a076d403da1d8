//! The operations that are interrupted, as a pure function of a seed and their number.
//!
//! Since every operation is known in advance, a store found after a power cut can be compared with the state
//! after each of them: it must equal one, and not one before the last acknowledged.

use std::collections::VecDeque;

/// What is done to the store; indexes and terms are Raft's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Append entries of `term` from `from` up to and without `to`.
    Append { term: u64, from: u64, to: u64 },
    /// Save a vote for `term`.
    Vote { term: u64 },
    /// Remove the entries after `last`.
    Truncate { last: (u64, u64) },
    /// Remove the entries up to and with `upto`.
    Purge { upto: (u64, u64) },
}

/// The state after some operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// The index before the first entry, and its term.
    pub(crate) purged: Option<(u64, u64)>,
    /// The terms of the entries after it.
    pub(crate) terms: VecDeque<u64>,
    /// The term of the vote.
    pub(crate) vote: Option<u64>,
}

/// Entries at the end that may be truncated; those before count as committed.
const UNCOMMITTED: u64 = 16;

impl Model {
    /// The first index in the log.
    pub(crate) fn start(&self) -> u64 {
        self.purged.map_or(0, |(_, index)| index + 1)
    }

    /// One past the last index.
    pub(crate) fn end(&self) -> u64 {
        self.start() + self.terms.len() as u64
    }

    /// Term and index of an entry that is there.
    pub(crate) fn at(&self, index: u64) -> Option<(u64, u64)> {
        let place = usize::try_from(index.checked_sub(self.start())?).ok()?;
        self.terms.get(place).map(|term| (*term, index))
    }

    /// The last entry that counts as committed.
    pub(crate) fn committed(&self) -> Option<(u64, u64)> {
        self.at(self.end().checked_sub(UNCOMMITTED)?)
    }

    /// The operation with this number, given the state after those before it.
    pub(crate) fn operation(&self, seed: u64, number: u64, batch: u64) -> Operation {
        let dice = mix(seed ^ mix(number));
        let term = self.vote.unwrap_or(0).max(self.terms.back().copied().unwrap_or(0));
        match dice % 100 {
            0..8 => Operation::Vote { term: term + 1 },
            8..14 if self.terms.len() as u64 > 2 * UNCOMMITTED => {
                let last = self.end() - 1 - (dice >> 32) % (UNCOMMITTED / 2);
                // Only right after a vote is the end of the log still anyone's to dispute.
                match self.at(last - 1).filter(|_| self.vote > self.terms.back().copied()) {
                    Some(last) => Operation::Truncate { last },
                    None => Operation::Vote { term: term + 1 },
                }
            }
            14..18 if self.terms.len() > 200 => match self.at(self.start() + 150) {
                Some(upto) => Operation::Purge { upto },
                None => Operation::Vote { term: term + 1 },
            },
            _ => Operation::Append { term, from: self.end(), to: self.end() + batch },
        }
    }

    /// Takes an operation into account.
    pub(crate) fn take(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { term, from, to } => self.terms.extend((from..to).map(|_| term)),
            Operation::Vote { term } => self.vote = Some(term),
            Operation::Truncate { last: (_, index) } => {
                let keep = index + 1 - self.start();
                self.terms.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
            }
            Operation::Purge { upto: (term, index) } => {
                let gone = index + 1 - self.start();
                self.terms.drain(..usize::try_from(gone).unwrap_or(usize::MAX));
                self.purged = Some((term, index));
            }
        }
    }

    /// The state after the first `count` operations.
    pub(crate) fn after(seed: u64, batch: u64, count: u64) -> Self {
        let mut model = Self::default();
        for number in 0..count {
            let operation = model.operation(seed, number, batch);
            model.take(&operation);
        }
        model
    }
}

/// The command of the entry at `index` of `term`: 40 to 600 bytes that nothing else has, or for one of 64 entries so many
/// that they lie in the store in parts.
pub(crate) fn command(term: u64, index: u64) -> Vec<u8> {
    let mut state = mix(term ^ mix(index));
    let most = if (state >> 32).is_multiple_of(64) { 60_000 } else { 560 };
    let length = 40 + usize::try_from(state % most).unwrap_or(0);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = mix(state);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// `SplitMix64`'s output function.
pub(crate) fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
