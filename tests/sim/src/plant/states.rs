//! Planted bugs in what a state holds: what a command, a snapshot or a new beginning loses of it, or keeps. The bytes are
//! taken apart as the authority's snapshots document them: records of length, tag and content, an empty one, a checksum.

use circlet_authority::{Action, Command, Outcome, Purge, RevokeNote, RevokeTarget, State};
use circlet_raft::{Clocks, Machine};
use sha2::{Digest, Sha256};

use super::Plant;
use crate::authority::Authority;
use crate::history::History;
use crate::scope::{self, Scope};
use crate::sealing::MasterKey;

/// What there is one of in a state: where it stands, the time, the configuration.
pub(super) const HEAD: u8 = 1;
/// The tag of a key among the records of a state.
const KEY: u8 = 2;
/// The tags of a token and of a family.
const TOKENS: [u8; 2] = [7, 8];
/// The tag of where the present generation began.
const BEGUN: u8 = 61;
/// The tag of a revoked id among the records of a state, and what says that four bytes of its expiry follow.
const LISTED: [u8; 2] = [9, 252];
/// The tag of what a revoke has left to end.
const CASCADE: u8 = 20;
/// The tag of a watermark among the records of a state.
pub(super) const WATERMARK: u8 = 60;
/// What stands before the records: a word and a version.
const HEAD_BYTES: usize = 14;

/// A bug in a step of the machine, where one is planted: what it has become after a command, in place of what it is.
pub(crate) fn after_apply(
    before: &State,
    machine: &Authority,
    command: &[u8],
    outcome: &[u8],
) -> Result<Option<Authority>, String> {
    let Some(scope) = scope::current() else { return Ok(None) };
    let plant = scope.history().plant();
    if !matches!(plant, Plant::PurgeByLocalClock | Plant::HalfACascade | Plant::LivingFamily) {
        return Ok(None);
    }
    let Ok(Command { action, .. }) = Command::decode(command) else { return Ok(None) };
    let after = bytes_of(&machine.view())?;
    let kept = match (plant, action) {
        (Plant::PurgeByLocalClock, Action::Purge(Purge::Remove { .. })) => {
            let through = far_past(&scope);
            without(&after, |record| expired(record, through))
        }
        (Plant::HalfACascade, Action::RevokeToken(revoke)) if revoke.cascade => {
            without(&after, |record| record.first() == Some(&CASCADE))
        }
        (Plant::LivingFamily, Action::RevokeToken(revoke))
            if !revoke.cascade && names_former(before, &revoke.target) && ends_a_family(outcome) =>
        {
            as_before(&bytes_of(before)?, &after)
        }
        _ => return Ok(None),
    };
    let kept = kept.ok_or("the state could not be taken apart")?;
    Authority::restore(&mut kept.as_slice()).map(Some)
}

/// What has expired by a node's own clock: far enough ago for good clocks not to differ about it.
fn far_past(scope: &Scope) -> u64 {
    (scope.wall_ms() / 1_000).saturating_sub(30)
}

/// Whether this is a revoked id that expired by then.
fn expired(record: &[u8], through: u64) -> bool {
    let expiry = record.get(2..).and_then(|bytes| bytes.first_chunk());
    record.starts_with(&LISTED)
        && expiry.is_some_and(|expiry| u64::from(u32::from_le_bytes(*expiry)) <= through)
}

/// Whether a revoke names a token that was refreshed, by whatever name.
fn names_former(before: &State, target: &RevokeTarget) -> bool {
    match target {
        RevokeTarget::Id(id) => before.token(id).is_none(),
        RevokeTarget::Value(token) => before.token(&token.id).is_none(),
        RevokeTarget::Family { family, sequence } => {
            before.family(family).is_some_and(|family| *sequence < family.sequence)
        }
    }
}

/// Whether a revoke was answered with the end of a family.
fn ends_a_family(outcome: &[u8]) -> bool {
    let ended = Outcome::decode(outcome).ok();
    ended.is_some_and(
        |ended| matches!(ended, Outcome::Revoked(revoked) if revoked.note == RevokeNote::FamilyEnded),
    )
}

/// The state that was before, as if what came after had changed nothing.
fn as_before(before: &[u8], after: &[u8]) -> Option<Vec<u8>> {
    let mut kept = records(before)?;
    kept.retain(|record| record.first() != Some(&HEAD));
    let heads = records(after)?.into_iter().filter(|record| record.first() == Some(&HEAD));
    kept.extend(heads);
    joined(after, &kept)
}

/// A state as bytes.
pub(super) fn bytes_of(state: &State) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    state.encode_snapshot(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The bytes of a state without its watermarks, where their loss is planted.
pub(crate) fn in_snapshot(state: Vec<u8>) -> Vec<u8> {
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::ForgottenWatermark);
    if !planted {
        return state;
    }
    without(&state, |record| record.first() == Some(&WATERMARK)).unwrap_or(state)
}

/// The same state without its watermarks.
pub(super) fn without_watermarks(state: &State) -> Option<State> {
    let kept = without(&bytes_of(state).ok()?, |record| record.first() == Some(&WATERMARK))?;
    State::decode_snapshot(&mut kept.as_slice()).ok()
}

/// The bytes of a state without some of its records.
pub(super) fn without(state: &[u8], drops: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut records = records(state)?;
    records.retain(|record| !drops(record));
    joined(state, &records)
}

/// The records of a state: tag and content of each.
pub(super) fn records(state: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = state.get(HEAD_BYTES..)?;
    let mut records = Vec::new();
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let bytes = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if bytes == 0 {
            return Some(records);
        }
        // The length counts the tag, which comes first.
        let (record, next) = after.split_at_checked(bytes)?;
        records.push(record);
        rest = next;
    }
}

/// The state as if its purge mark had been made so much later, if it has one of this second: a number of four bytes, behind
/// which there is one of eight.
pub(super) fn with_later_mark(state: &[u8], through: u64, by_secs: u64) -> Option<Vec<u8>> {
    let bytes = |secs: u64| u32::try_from(secs).ok().map(u32::to_le_bytes);
    let mark = [&[252][..], &bytes(through)?, &[253]].concat();
    let mut records = records(state)?;
    let head = records.iter_mut().find(|record| record.first() == Some(&HEAD))?;
    let at = head.windows(mark.len()).position(|part| part == mark)?;
    let mut later = head.to_vec();
    later.get_mut(at + 1..at + 5)?.copy_from_slice(&bytes(through + by_secs)?);
    *head = &later;
    joined(state, &records)
}

/// The state as if no watermark were needed for what nobody recorded: until when each is, is its last number, of four bytes.
pub(super) fn without_horizons(state: &[u8]) -> Option<Vec<u8>> {
    let shortened = |record: &&[u8]| {
        let (rest, [252, ..]) = record.split_last_chunk::<5>()? else { return None };
        (record.first() == Some(&WATERMARK)).then(|| [rest, &[252, 0, 0, 0, 0]].concat())
    };
    let records = records(state)?;
    let shorter: Vec<_> = records.iter().map(|record| shortened(record).unwrap_or(record.to_vec())).collect();
    joined(state, &shorter.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A state of these records, with the beginning that `state` has.
pub(super) fn joined(state: &[u8], records: &[&[u8]]) -> Option<Vec<u8>> {
    let mut kept = state.get(..HEAD_BYTES)?.to_vec();
    for record in records {
        kept.extend_from_slice(&u32::try_from(record.len()).ok()?.to_le_bytes());
        kept.extend_from_slice(record);
    }
    kept.extend_from_slice(&[0; 4]);
    let sum = Sha256::digest(&kept);
    kept.extend_from_slice(&sum);
    Some(kept)
}

/// The master key that a cluster must go on with which keeps the keys of before, where that is planted.
pub(crate) fn master_key_of_before(history: &History, as_it_was: &[u8]) -> Option<MasterKey> {
    let planted = history.plant() == Plant::RestoreKeepsKeys;
    let before = planted.then(|| State::decode_snapshot(&mut &as_it_was[..]).ok()).flatten()?;
    history.master_key(&before.master_key_fingerprint()?)
}

/// A bug in beginning anew, where one is planted: what the next generation begins with. `as_it_was` is the state of before,
/// whole.
pub(crate) fn in_next_generation(plant: Plant, next: State, as_it_was: &[u8]) -> Result<State, String> {
    if plant == Plant::RestoreUntold {
        return without_watermarks(&next).ok_or_else(|| "the state could not be taken apart".to_owned());
    }
    if plant == Plant::RestoreForgetsLevel {
        return super::levels::at_first_level(&next)
            .ok_or_else(|| "the state could not be taken apart".to_owned());
    }
    if !matches!(plant, Plant::RestoreKeepsKeys | Plant::RestoreForgetsWhen | Plant::RefreshOnFloor) {
        return Ok(next);
    }
    let state = bytes_of(&next)?;
    let torn = || "the state could not be taken apart".to_owned();
    let mut records = records(&state).ok_or_else(torn)?;
    if plant == Plant::RefreshOnFloor {
        let before = self::records(as_it_was).ok_or_else(torn)?;
        let live_on = |record: &&&[u8]| record.first().is_some_and(|tag| TOKENS.contains(tag));
        records.extend(before.iter().filter(live_on));
        let state = joined(&state, &records).ok_or_else(torn)?;
        return State::decode_snapshot(&mut state.as_slice()).map_err(|error| error.to_string());
    }
    records.retain(|record| record.first() != Some(&BEGUN));
    if plant == Plant::RestoreKeepsKeys {
        records.retain(|record| record.first() != Some(&KEY));
        let before = self::records(as_it_was).ok_or_else(torn)?;
        records.extend(before.into_iter().filter(|record| record.first() == Some(&KEY)));
    }
    let state = joined(&state, &records).ok_or_else(torn)?;
    State::decode_snapshot(&mut state.as_slice()).map_err(|error| error.to_string())
}
