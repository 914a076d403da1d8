//! Entries that are larger than the engine takes lie in it in parts, one behind the other.
//!
//! A full part is followed by another one, so the last is the one that isn't full: whoever reads needs no other mark, and
//! the checksum of the entry covers all of them together.

use std::borrow::Cow;
use std::ops::Range;

use super::record::{entry_key, part_key, part_of};
use crate::engine::{Batch, VALUE_BYTES_MAX};

/// A full part.
const PART_BYTES: usize = VALUE_BYTES_MAX;

/// The keys of an entry of so many bytes, beyond the first.
pub(super) fn further_parts(bytes: usize) -> u16 {
    u16::try_from(bytes / PART_BYTES).expect("an entry is many times smaller than so many parts")
}

/// Puts an entry's record into a batch.
pub(super) fn put(batch: &mut Batch, index: u64, record: Vec<u8>) {
    let parts = further_parts(record.len());
    if parts == 0 {
        batch.put(entry_key(index), record);
        return;
    }
    for part in 0..=parts {
        let from = usize::from(part) * PART_BYTES;
        let to = record.len().min(from + PART_BYTES);
        batch.put(key(index, part), record[from..to].to_vec());
    }
}

/// Removes an entry's record that has so many further parts.
pub(super) fn remove(batch: &mut Batch, index: u64, further_parts: u16) {
    for part in 0..=further_parts {
        batch.remove(key(index, part));
    }
}

fn key(index: u64, part: u16) -> Vec<u8> {
    if part == 0 { entry_key(index).to_vec() } else { part_key(index, part).to_vec() }
}

/// An entry's index and its whole record.
pub(super) type Joined<'a> = (u64, Cow<'a, [u8]>);

/// Puts parts together again, in the order of their keys.
#[derive(Default)]
pub(super) struct Joiner {
    /// The entry under way, which part of it is next, and what there is of it.
    open: Option<(u64, u16, Vec<u8>)>,
}

impl Joiner {
    /// Takes the next record of the engine. Returns the entry that it completes, or what is wrong.
    pub(super) fn take<'a>(&mut self, key: &[u8], value: &'a [u8]) -> Result<Option<Joined<'a>>, String> {
        let (index, part) = part_of(key).ok_or_else(|| format!("a key that is no entry's: {key:02x?}"))?;
        let before = match self.open.take() {
            None if part == 0 => Vec::new(),
            None => return Err(format!("part {part} of entry {index} without those before")),
            Some((expected, next, before)) if (index, part) == (expected, next) => before,
            Some((expected, next, _)) => return Err(format!("entry {expected} ends before its part {next}")),
        };
        if value.len() < PART_BYTES {
            let whole = if before.is_empty() {
                Cow::Borrowed(value)
            } else {
                Cow::Owned([before.as_slice(), value].concat())
            };
            return Ok(Some((index, whole)));
        }
        let next = part.checked_add(1).ok_or_else(|| format!("entry {index} has no end"))?;
        self.open = Some((index, next, [before.as_slice(), value].concat()));
        Ok(None)
    }

    /// What is wrong at the end, if anything is.
    pub(super) fn finish(self) -> Result<(), String> {
        match self.open {
            None => Ok(()),
            Some((index, next, _)) => Err(format!("entry {index} ends before its part {next}")),
        }
    }
}

/// Which entries have further parts, and how many: few do.
#[derive(Default)]
pub(super) struct LongEntries(std::collections::BTreeMap<u64, u16>);

impl LongEntries {
    /// Notes an entry of so many bytes.
    pub(super) fn note(&mut self, index: u64, bytes: usize) {
        self.note_part(index, further_parts(bytes));
    }

    /// Notes that an entry has this part.
    pub(super) fn note_part(&mut self, index: u64, part: u16) {
        if part > 0 {
            let most = self.0.entry(index).or_default();
            *most = part.max(*most);
        }
    }

    /// Removes the records of entries, and forgets them.
    pub(super) fn remove(&mut self, batch: &mut Batch, indexes: Range<u64>) {
        for index in indexes {
            remove(batch, index, self.0.remove(&index).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Change;

    /// A key and its value.
    type Record = (Vec<u8>, Vec<u8>);

    /// The records that a batch puts.
    fn records(batch: Batch) -> Vec<Record> {
        let put = |change| match change {
            Change::Put(key, value) => (key, value),
            Change::Remove(key) => panic!("{key:02x?} is removed"),
        };
        batch.into_changes().into_iter().map(put).collect()
    }

    fn written(index: u64, length: usize) -> (Vec<u8>, Vec<Record>) {
        let record: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let mut batch = Batch::default();
        put(&mut batch, index, record.clone());
        (record, records(batch))
    }

    fn read(records: &[Record]) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let mut joiner = Joiner::default();
        let mut entries = Vec::new();
        for (key, value) in records {
            entries.extend(joiner.take(key, value)?.map(|(index, record)| (index, record.into_owned())));
        }
        joiner.finish().map(|()| entries)
    }

    #[test]
    fn records_of_any_length_come_back_in_order_and_none_of_their_parts_is_too_large() {
        for length in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 11 * PART_BYTES, 70_000] {
            let (record, mut parts) = written(7, length);
            assert!(parts.iter().all(|(_, value)| value.len() <= VALUE_BYTES_MAX), "{length}");
            assert_eq!(parts.len(), usize::from(further_parts(length)) + 1);
            let (next, more) = written(8, 3);
            parts.extend(more);
            assert!(parts.is_sorted(), "{length}: the engine returns them in another order");
            assert_eq!(read(&parts).unwrap(), [(7, record), (8, next)], "{length}");
        }
    }

    #[test]
    fn a_missing_part_is_noticed() {
        let (_, mut parts) = written(7, 3 * PART_BYTES + 5);
        parts.extend(written(8, 3).1);
        for gone in 0..4 {
            let mut some = parts.clone();
            some.remove(gone);
            assert!(read(&some).is_err(), "part {gone}");
        }
        parts.truncate(3);
        assert!(read(&parts).is_err(), "the last part of the last entry");
    }

    #[test]
    fn all_parts_of_an_entry_are_removed() {
        let mut long = LongEntries::default();
        long.note(6, 10);
        long.note(7, 2 * PART_BYTES);
        let (_, parts) = written(7, 2 * PART_BYTES);
        let mut batch = Batch::default();
        long.remove(&mut batch, 6..9);
        let removed = |key: &Vec<u8>| Change::Remove(key.clone());
        let expected: Vec<Change> = [&entry_key(6).to_vec()]
            .into_iter()
            .chain(parts.iter().map(|(key, _)| key))
            .chain([&entry_key(8).to_vec()])
            .map(removed)
            .collect();
        assert_eq!(batch.into_changes(), expected);
        assert!(long.0.is_empty());
    }
}
