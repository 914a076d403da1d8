//! Planted bugs: each must be caught, or the simulator proves nothing.

use std::borrow::Cow;

use circlet_authority::{Action, Actor, Command, State};
use circlet_raft::Clocks;
use circlet_raft::defects::Defects;
use sha2::{Digest, Sha256};

use crate::house;
use crate::scope;

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plant {
    /// None: the product as it is.
    #[default]
    None,
    /// The log is reported durable before it is synced.
    EarlyAcknowledgement,
    /// A token is vouched for by a view of any age.
    NoFreshnessCheck,
    /// A node that has just started vouches before it has proved freshness.
    NoProofAfterStart,
    /// A late proof of freshness counts from its arrival.
    LateCredit,
    /// A leader that restarts within its lease leads on.
    LeaderRestore,
    /// Read indexes are confirmed by the lease.
    LeaseReads,
    /// A write is answered before the node that answers has seen it.
    AnswerUnseen,
    /// A leader stamps whatever its clock shows.
    BlindStamps,
    /// A used refresh token is used once more.
    RefreshTwice,
    /// Applying asks the local clock.
    LocalClock,
    /// A request whose fate is unknown is reported as done.
    UnknownIsDone,
    /// A node that lost its disk comes back under the id that it had.
    ReusedId,
    /// A change of the voters that a lost leader had begun is left half done.
    HalfDoneChanges,
    /// Snapshots are written without watermarks.
    ForgottenWatermark,
    /// Nothing that is written about snapshots is synced.
    UnsyncedSnapshots,
    /// Whoever asks is taken for the administrator.
    NoPolicy,
}

impl Plant {
    /// All of them with their names and what they do.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::EarlyAcknowledgement, "early-acknowledgement"),
        (Self::NoFreshnessCheck, "no-freshness-check"),
        (Self::NoProofAfterStart, "no-proof-after-start"),
        (Self::LateCredit, "late-credit"),
        (Self::LeaderRestore, "leader-restore"),
        (Self::LeaseReads, "lease-reads"),
        (Self::AnswerUnseen, "answer-unseen"),
        (Self::BlindStamps, "blind-stamps"),
        (Self::RefreshTwice, "refresh-twice"),
        (Self::LocalClock, "local-clock"),
        (Self::UnknownIsDone, "unknown-is-done"),
        (Self::ReusedId, "reused-id"),
        (Self::HalfDoneChanges, "half-done-changes"),
        (Self::ForgottenWatermark, "forgotten-watermark"),
        (Self::UnsyncedSnapshots, "unsynced-snapshots"),
        (Self::NoPolicy, "no-policy"),
    ];

    /// The bug of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(plant, _)| *plant)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(plant, _)| *plant == self).map_or("none", |(_, name)| name)
    }

    /// Those that sit in the replica.
    #[must_use]
    pub fn defects(self) -> Defects {
        Defects {
            late_credit: self == Self::LateCredit,
            leader_restore: self == Self::LeaderRestore,
            lease_reads: self == Self::LeaseReads,
            answer_unseen: self == Self::AnswerUnseen,
            blind_stamps: self == Self::BlindStamps,
            half_done_changes: self == Self::HalfDoneChanges,
        }
    }
}

/// Bugs in applying, where one is planted: what is applied in place of the stamp and the command of the entry.
pub(crate) fn before_apply<'a>(view: &State, stamp_ms: u64, command: &'a [u8]) -> (u64, Cow<'a, [u8]>) {
    let Some(scope) = scope::current() else { return (stamp_ms, command.into()) };
    match scope.history().plant() {
        Plant::LocalClock => (scope.wall_ms(), command.into()),
        Plant::RefreshTwice => (stamp_ms, used_again(view, command).map_or(command.into(), Cow::Owned)),
        Plant::NoPolicy => (stamp_ms, by_administrator(command).map_or(command.into(), Cow::Owned)),
        _ => (stamp_ms, command.into()),
    }
}

/// The command as if an administrator had given it.
fn by_administrator(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    if !matches!(command.actor, Actor::User { .. }) {
        return None;
    }
    command.actor = Actor::User { name: house::name("admin") };
    Some(command.encode())
}

/// The command as if its refresh token were the family's present one.
fn used_again(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::RefreshToken(refresh) = &mut command.action else { return None };
    let family = view.family(&refresh.family)?;
    (refresh.sequence, refresh.access) = (family.sequence, Some(family.current));
    Some(command.encode())
}

/// The tag of a watermark among the records of a state.
const WATERMARK: u8 = 60;
/// What stands before the records: a word and a version.
const HEAD_BYTES: usize = 14;

/// The bytes of a state without its watermarks, where their loss is planted. The layout is the one that the authority's
/// snapshots document: records of length, tag and content, an empty one, a checksum.
pub(crate) fn in_snapshot(state: Vec<u8>) -> Vec<u8> {
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::ForgottenWatermark);
    if planted { without_marks(&state).unwrap_or(state) } else { state }
}

fn without_marks(state: &[u8]) -> Option<Vec<u8>> {
    let (head, mut rest) = state.split_at_checked(HEAD_BYTES)?;
    let mut kept = head.to_vec();
    loop {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let bytes = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if bytes == 0 {
            kept.extend_from_slice(length);
            break;
        }
        // The length counts the tag, which comes first.
        let (record, next) = after.split_at_checked(bytes)?;
        if record.first() != Some(&WATERMARK) {
            kept.extend_from_slice(length);
            kept.extend_from_slice(record);
        }
        rest = next;
    }
    let sum = Sha256::digest(&kept);
    kept.extend_from_slice(&sum);
    Some(kept)
}
