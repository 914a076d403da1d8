//! Reading a log from its engine when a node starts: all of it, so that damage shows before anything is served.

use std::io;
use std::ops::ControlFlow;

use super::parts::Joiner;
use super::record::{
    COMMITTED, Entry, FORMAT, FORMAT_MARK, LogId, PURGED, Stored, VOTE, decode, entry_key, part_of,
};
use super::tail::Tail;
use crate::damage::Damage;
use crate::engine::Engine;

/// Loads pointers and entries, or names what can't be believed.
pub(super) fn load(engine: &dyn Engine) -> io::Result<Tail> {
    check_format(engine)?;
    let mut tail = Tail::default();
    tail.vote = pointer(engine, VOTE, "the vote")?;
    tail.committed = pointer(engine, COMMITTED, "the committed index")?;
    if let Some(purged) = pointer::<LogId>(engine, PURGED, "the purged index")? {
        tail.purge(purged);
    }
    let damage = |what: String| Damage::new(engine.file(), what);
    load_entries(engine, &mut tail)?.map_or(Ok(()), |what| Err(damage(what)))?;
    if let Some(committed) = tail.committed
        && tail.last.is_none_or(|last| last.index() < committed.index())
    {
        // Written after the entry it names, so the entry was there.
        let last = tail.last.map(|last| last.index());
        return Err(
            damage(format!("committed up to {}, but the log ends at {last:?}", committed.index())).into()
        );
    }
    Ok(tail)
}

/// Loads the entries after the purged index; returns what is wrong with one.
fn load_entries(engine: &dyn Engine, tail: &mut Tail) -> io::Result<Option<String>> {
    let mut wrong = None;
    let mut first = None;
    let mut joiner = Joiner::default();
    engine.scan(&entry_key(0), &entry_key(u64::MAX), &mut |key, value| {
        let place = part_of(key);
        first = first.or(place.map(|(index, _)| index));
        if let Some((index, part)) = place
            && index < tail.start()
        {
            // Purged, and not removed yet.
            tail.long.note_part(index, part);
            return ControlFlow::Continue(());
        }
        match next(&mut joiner, (key, value), tail.end, tail.last) {
            Ok(Some((entry, bytes))) => {
                tail.push(entry, bytes);
                tail.made_durable(tail.end, bytes);
            }
            Ok(None) => {}
            Err(what) => wrong = Some(what),
        }
        if wrong.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    tail.sweep_from(first.unwrap_or(tail.start()));
    Ok(wrong.or_else(|| joiner.finish().err()))
}

/// Takes the next record of the log. Returns the entry that it completes with its size, or what is wrong with it.
pub(super) fn next(
    joiner: &mut Joiner,
    (key, value): (&[u8], &[u8]),
    expected: u64,
    previous: Option<LogId>,
) -> Result<Option<(Entry, usize)>, String> {
    let Some((index, record)) = joiner.take(key, value)? else { return Ok(None) };
    Ok(Some((check(index, &record, expected, previous)?, record.len())))
}

/// Checks one entry of the log: its index must be `expected`, its term not below the previous one's.
fn check(index: u64, record: &[u8], expected: u64, previous: Option<LogId>) -> Result<Entry, String> {
    if index != expected {
        return Err(format!("entry {index} where {expected} should be"));
    }
    let entry: Entry = decode(&entry_key(index), record).map_err(|what| format!("entry {index}: {what}"))?;
    if entry.log_id.index() != index {
        return Err(format!("entry {index} says that it is {}", entry.log_id.index()));
    }
    if previous.is_some_and(|previous| previous.committed_leader_id() > entry.log_id.committed_leader_id()) {
        return Err(format!("entry {index} has a lower term than the one before"));
    }
    Ok(entry)
}

fn pointer<T: Stored>(engine: &dyn Engine, key: &[u8], name: &str) -> io::Result<Option<T>> {
    let Some(value) = engine.get(key)? else { return Ok(None) };
    let read = decode(key, &value).map_err(|what| Damage::new(engine.file(), format!("{name}: {what}")))?;
    Ok(Some(read))
}

/// Checks that the store is one that this program can read. A new one is marked before anything else is
/// written, so every acknowledged write implies the mark.
fn check_format(engine: &dyn Engine) -> io::Result<()> {
    match engine.get(FORMAT)? {
        Some(format) if format == FORMAT_MARK => Ok(()),
        Some(format) => {
            let what = format!("made in another format: {}", String::from_utf8_lossy(&format));
            Err(Damage::new(engine.file(), what).into())
        }
        None => {
            super::mark_format(engine);
            Ok(())
        }
    }
}
