//! Planted bugs that overlook something while a command is applied: the state is without it meanwhile.

use circlet_authority::{Action, Command, Purge, State};
use circlet_raft::Machine;
use circlet_token::TokenId;

use super::Plant;
use super::states::{WATERMARK, bytes_of, joined, records, with_later_mark, without, without_horizons};
use crate::authority::Authority;
use crate::scope;

/// The tag of a recorded token among the records of a state.
const TOKEN: u8 = 7;
/// The tag of what is known of an id that was revoked.
const LISTED: u8 = 9;
/// The tag of when a token was last used.
const LAST_USED: u8 = 21;

/// How much a purge takes for expired that has not.
const EARLY_SECS: u64 = 5;

/// What is overlooked.
enum Overlooked {
    /// All watermarks; they are there again afterwards.
    Watermarks,
    /// A token, whose place is taken.
    Token(TokenId),
    /// Tokens, and whether they are there or were revoked.
    Imported(Vec<TokenId>, u8),
    /// When these tokens were used before.
    Uses(Vec<TokenId>),
}

impl Overlooked {
    fn of(plant: Plant, before: &State, action: &Action) -> Option<Self> {
        match (plant, action) {
            (Plant::DeafRefresh, Action::RefreshToken(_)) => Some(Self::Watermarks),
            (Plant::TakenId, Action::IssueToken(issue)) => {
                let is_other = |digest| digest != issue.request_digest;
                let taken = before.token(&issue.id).filter(|record| record.family.is_none());
                taken.filter(|record| is_other(record.request_digest)).map(|record| Self::Token(record.id))
            }
            (Plant::ImportAnew, Action::ImportTokens(import)) => {
                Some(Self::Imported(import.tokens.iter().map(|token| token.id).collect(), TOKEN))
            }
            (Plant::ImportRevives, Action::ImportTokens(import)) => {
                Some(Self::Imported(import.tokens.iter().map(|token| token.id).collect(), LISTED))
            }
            (Plant::EarlierUses, Action::NoteUse(note)) => {
                Some(Self::Uses(note.uses.iter().map(|(id, _)| *id).collect()))
            }
            _ => None,
        }
    }

    fn covers(&self, record: &[u8]) -> bool {
        match self {
            Self::Watermarks => record.first() == Some(&WATERMARK),
            Self::Uses(ids) => record
                .split_first()
                .is_some_and(|(tag, rest)| *tag == LAST_USED && ids.iter().any(|id| rest.starts_with(&id.0))),
            Self::Imported(ids, tag) => {
                let names = |id: &TokenId| record.windows(16).any(|part| part == id.0);
                record.first() == Some(tag) && ids.iter().any(names)
            }
            Self::Token(id) => record.first() == Some(&TOKEN) && record.windows(16).any(|part| part == id.0),
        }
    }
}

/// A bug in applying, where one is planted: the machine that a command makes of this state, and what comes of it.
pub(crate) fn in_place_of_apply(
    before: &State,
    index: u64,
    stamp_ms: u64,
    command: &[u8],
) -> Result<Option<(Authority, Vec<u8>)>, String> {
    let Some(scope) = scope::current() else { return Ok(None) };
    let plant = scope.history().plant();
    if plant == Plant::PlaysAlong {
        let Ok(command) = Command::decode(command) else { return Ok(None) };
        return Ok(Some(super::levels::applied_unchecked(before, index, stamp_ms, &command)));
    }
    let planted = [
        Plant::DeafRefresh,
        Plant::TakenId,
        Plant::EarlierUses,
        Plant::PurgeEarly,
        Plant::ShortHorizon,
        Plant::ImportAnew,
        Plant::ImportRevives,
    ];
    if !planted.contains(&plant) {
        return Ok(None);
    }
    let Ok(Command { action, .. }) = Command::decode(command) else { return Ok(None) };
    if let Action::Purge(Purge::Remove { mark, .. }) = &action {
        let whole = bytes_of(before)?;
        let otherwise = match plant {
            Plant::PurgeEarly => with_later_mark(&whole, scope.history().marked_through(*mark), EARLY_SECS),
            Plant::ShortHorizon => without_horizons(&whole),
            _ => None,
        };
        let Some(otherwise) = otherwise else { return Ok(None) };
        let mut machine = Authority::restore(&mut otherwise.as_slice())?;
        let outcome = machine.apply(index, stamp_ms, command)?;
        return Ok(Some((machine, outcome)));
    }
    let Some(overlooked) = Overlooked::of(plant, before, &action) else { return Ok(None) };
    let torn = || "the state could not be taken apart".to_owned();
    let whole = bytes_of(before)?;
    let rest = without(&whole, |record| overlooked.covers(record)).ok_or_else(torn)?;
    let mut machine = Authority::restore(&mut rest.as_slice())?;
    let outcome = machine.apply(index, stamp_ms, command)?;
    if let Overlooked::Watermarks = overlooked {
        let after = bytes_of(&machine.view())?;
        let mut all = records(&after).ok_or_else(torn)?;
        all.extend(records(&whole).ok_or_else(torn)?.into_iter().filter(|record| overlooked.covers(record)));
        let again = joined(&after, &all).ok_or_else(torn)?;
        machine = Authority::restore(&mut again.as_slice())?;
    }
    Ok(Some((machine, outcome)))
}
