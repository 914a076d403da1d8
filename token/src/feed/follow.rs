//! What a follower makes of an answer: the next step, or what is wrong with it.

use super::{CirclePublicKey, FeedAnswer, FeedContent, FeedEntry, FeedPosition, Succession, new_successions};
use crate::ServiceId;

/// What was asked, and of whom.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Whose feed is followed.
    pub issuer: &'a ServiceId,
    /// Its circle keys as far as they are known, oldest first: the last one is believed.
    pub keys: &'a [CirclePublicKey],
    /// Drawn for this question.
    pub nonce: [u8; 32],
    /// How far the follower has got; `None` before it holds a list.
    pub at: Option<FeedPosition>,
    /// While a list is read: where the chain stood at its first page.
    pub reading: Option<FeedPosition>,
    /// While a list is read: which page was asked for.
    pub cursor: Option<&'a [u8]>,
}

/// What was heard in an answer that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedHeard {
    /// What leads from the circle key that was believed to the one that signed; empty if it is the same.
    pub successions: Vec<Succession>,
    /// What the answer says.
    pub step: FeedStep,
}

/// What an answer that is in order says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedStep {
    /// Nothing was revoked since.
    Unchanged,
    /// These entries follow.
    Entries {
        /// Them.
        entries: Vec<FeedEntry>,
        /// Where they lead.
        to: FeedPosition,
        /// Whether nothing was revoked behind them when the answer was made.
        complete: bool,
    },
    /// The chain leads on elsewhere: the list is to be read, from its first page.
    ReadList,
    /// A page of the list.
    Page {
        /// What it holds.
        entries: Vec<FeedEntry>,
        /// Where the chain stood at the first page: from there it goes on after the last.
        from: FeedPosition,
        /// What to ask for next; empty after the last page.
        next: Vec<u8>,
    },
}

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedFault {
    /// Its bytes are none, or too many.
    #[error("the answer can't be read")]
    Unreadable,
    /// It is not signed with the issuer's circle key.
    #[error("the answer is not signed with the issuer's circle key")]
    Signature,
    /// It is the feed of somebody else.
    #[error("the answer is about another issuer")]
    Issuer,
    /// It was made for another question: an old one again.
    #[error("the answer belongs to another question")]
    Replayed,
    /// There are more entries than the follower keeps.
    #[error("the feed has more entries than are kept")]
    TooMany,
    /// It answers something that was not asked, or leaves a gap.
    #[error("the answer does not follow on what is known")]
    Gap,
    /// It goes back behind what the issuer signed before.
    #[error("the feed went back behind what its issuer had signed")]
    WentBack,
    /// It contradicts what the issuer signed before.
    #[error("the feed contradicts what its issuer had signed")]
    Fork,
    /// A circle key of the issuer named two successors.
    #[error("a circle key of the issuer named two successors")]
    KeyFork,
    /// The chain names a circle key that the one before didn't sign.
    #[error("the feed names a circle key that the one before did not sign")]
    Succession,
}

impl FeedFault {
    /// Whether the issuer's own signature proves it: then it is no accident on the way.
    #[must_use]
    pub fn is_proved(self) -> bool {
        matches!(self, Self::WentBack | Self::Fork | Self::KeyFork | Self::Succession)
    }

    /// The fault in a word, stable, in snake case.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
            Self::Gap => "gap",
            Self::WentBack => "went_back",
            Self::Fork => "fork",
            Self::KeyFork => "key_fork",
            Self::Succession => "succession",
        }
    }
}

/// Judges an answer. Nothing of it counts unless it is signed, new, and goes on from where the follower is.
///
/// # Errors
/// What is wrong with it.
pub fn check_answer(question: &Question<'_>, answer: &FeedAnswer) -> Result<FeedHeard, FeedFault> {
    let head = &answer.head;
    if !head.issuer.same_service(question.issuer) {
        return Err(FeedFault::Issuer);
    }
    // Two successors prove themselves, whoever brings them.
    let successions = new_successions(question.keys, question.issuer, &answer.successions)
        .map_err(|_| FeedFault::KeyFork)?;
    let mut keys = question.keys.to_vec();
    keys.extend(successions.iter().map(|succession| succession.next));
    // Only the newest key signs: who has one of before can say nothing any more.
    if !keys.last().is_some_and(|newest| answer.is_signed_by(*newest)) {
        return Err(FeedFault::Signature);
    }
    if head.nonce != question.nonce {
        return Err(FeedFault::Replayed);
    }
    let step = next_step(question, answer)?;
    match &step {
        FeedStep::Entries { entries, .. } | FeedStep::Page { entries, .. } => {
            check_told_keys(&keys, &answer.successions, question.issuer, entries)?;
        }
        FeedStep::Unchanged | FeedStep::ReadList => {}
    }
    Ok(FeedHeard { successions, step })
}

fn next_step(question: &Question<'_>, answer: &FeedAnswer) -> Result<FeedStep, FeedFault> {
    let head = &answer.head;
    match &answer.content {
        FeedContent::Page { cursor, .. } if question.cursor.is_some_and(|asked| asked != cursor) => {
            Err(FeedFault::Gap)
        }
        FeedContent::Page { entries, next, .. } => page(question, head.position, entries, next),
        _ if question.reading.is_some() => Err(FeedFault::Gap),
        FeedContent::Entries { after, entries } => {
            check_progress(question, answer)?;
            let entries = FeedEntry::read_all(entries).ok_or(FeedFault::Unreadable)?;
            follow_on(question.at.ok_or(FeedFault::Gap)?, *after, entries, answer)
        }
        FeedContent::Elsewhere => {
            check_progress(question, answer)?;
            if question.at == Some(head.position) { Err(FeedFault::Gap) } else { Ok(FeedStep::ReadList) }
        }
    }
}

/// The key that signed the answer stands behind every entry, so each circle key that the chain names is one that led to it.
fn check_told_keys(
    keys: &[CirclePublicKey],
    told: &[Succession],
    issuer: &ServiceId,
    entries: &[FeedEntry],
) -> Result<(), FeedFault> {
    for entry in entries {
        let FeedEntry::CircleKey(named) = entry else { continue };
        let led = told.contains(named) && named.is_signed(issuer);
        let at = keys.iter().position(|key| *key == named.previous);
        let fits = at.is_none_or(|at| keys.get(at.saturating_add(1)) == Some(&named.next));
        if !led || !fits {
            return Err(FeedFault::Succession);
        }
    }
    Ok(())
}

/// What was signed once is never taken back: the answer was made after the question, so it holds all that led there.
fn check_progress(question: &Question<'_>, answer: &FeedAnswer) -> Result<(), FeedFault> {
    let Some(at) = question.at else { return Ok(()) };
    let head = &answer.head;
    let back = (head.position.generation, head.latest) < (at.generation, at.sequence);
    let same = (head.position.generation, head.position.sequence) == (at.generation, at.sequence);
    if back {
        return Err(FeedFault::WentBack);
    }
    if same && head.position.hash != at.hash { Err(FeedFault::Fork) } else { Ok(()) }
}

fn follow_on(
    at: FeedPosition,
    after: u64,
    entries: Vec<FeedEntry>,
    answer: &FeedAnswer,
) -> Result<FeedStep, FeedFault> {
    let to = answer.head.position;
    if to.generation != at.generation || after != at.sequence {
        return Err(FeedFault::Gap);
    }
    if at.after_all(&entries) != to {
        return Err(FeedFault::Fork);
    }
    let complete = answer.head.is_complete();
    match (entries.is_empty(), complete) {
        (true, true) => Ok(FeedStep::Unchanged),
        (true, false) => Err(FeedFault::Gap),
        (false, _) => Ok(FeedStep::Entries { entries, to, complete }),
    }
}

/// Later pages may come from other nodes: none may stand behind where the first one did.
fn page(
    question: &Question<'_>,
    position: FeedPosition,
    entries: &[u8],
    next: &[u8],
) -> Result<FeedStep, FeedFault> {
    let from = question.reading.unwrap_or(position);
    if position.generation != from.generation {
        return Err(FeedFault::Gap);
    }
    if position.sequence < from.sequence {
        return Err(FeedFault::WentBack);
    }
    let known = question.at.filter(|at| at.generation >= from.generation);
    if known.is_some_and(|at| (at.generation, at.sequence) > (from.generation, from.sequence)) {
        return Err(FeedFault::WentBack);
    }
    let entries = FeedEntry::read_all(entries).ok_or(FeedFault::Unreadable)?;
    Ok(FeedStep::Page { entries, from, next: next.to_vec() })
}
