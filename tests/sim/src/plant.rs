//! Planted bugs: each must be caught, or the simulator proves nothing.

use std::borrow::Cow;

use circlet_authority::{Action, Actor, Command, Config, Purge, RotateKey, State};
use circlet_raft::defects::Defects;
use circlet_raft::{Clocks, Machine};
use sha2::{Digest, Sha256};

use crate::authority::Authority;
use crate::history::History;
use crate::house;
use crate::scope;
use crate::sealing::MasterKey;

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
    /// A node signs whatever was decided, with a key that leaked meanwhile too.
    SignTainted,
    /// A node signs with a key that is only published.
    EagerKey,
    /// Tokens of a key that leaked are accepted.
    AcceptTainted,
    /// A key that nobody knows is taken for one of ours.
    AnyKey,
    /// Purging asks the local clock what has expired.
    PurgeByLocalClock,
    /// Lists are read from any view, and said to be fresh.
    StaleLists,
    /// Whoever has a token may do what its user may, whatever became of the token.
    AnyActor,
    /// A cluster that begins anew goes on with the keys of before, and forgets that it began.
    RestoreKeepsKeys,
    /// A cluster that begins anew forgets when it did: what others issued before is good again.
    RestoreForgetsWhen,
    /// What a neighbour answered late counts from its arrival.
    LateFeedCredit,
    /// Neighbours are asked with the same nonce each time.
    SameNonce,
    /// Watermarks of neighbours are ignored.
    DeafToMarks,
    /// A node tells neighbours where the feed stands in its view, however old that is.
    UnprovedHeads,
    /// Whoever begins to lead takes for fresh what it knows of neighbours.
    FeedFreshAtOnce,
    /// How old what is known of neighbours is isn't asked.
    AnyFeedAge,
    /// Watermarks on keys are ignored.
    DeafToKeyMarks,
    /// Watermarks on groups of subjects, and on everybody, are ignored.
    DeafToGroupMarks,
    /// Watermarks on stretches of time are ignored.
    DeafToStretches,
    /// What a revoke has left to end of its descendants is forgotten.
    HalfACascade,
    /// A node that is cut off issues plain tokens for ever.
    IssueWhenIsolated,
    /// A node that is cut off verifies for ever what needs no fresh view.
    VerifyWhenIsolated,
    /// A node says that it has the next master key before that is on its disk.
    UnsyncedKeys,
    /// The next master key takes the place of the present one at once.
    EarlyKeyFile,
    /// A node that slept while the master key was turned over doesn't ask for it.
    DeafSleeper,
    /// What is sealed under a former master key is taken for sealed under the present one.
    RelabelledSecrets,
    /// What a token key of a neighbour's signs is taken for the word of its circle key.
    TokenKeyVouches,
    /// A circle key is believed that the one before didn't name.
    AnySuccession,
    /// Whoever says that a member has taken over a feed is believed.
    AnyWord,
    /// That a neighbour's key has ended is overlooked.
    DeafToTaints,
    /// No key that a neighbour's feed tells is taken over.
    DeafToKeys,
    /// A neighbour's limits are overlooked.
    Unlimited,
    /// Who limits a neighbour leaves out the keys that come meanwhile.
    HastyLimits,
    /// All of a neighbour's feed is kept, however much that is.
    NoQuota,
    /// What is kept of a neighbour's feed suffices, though it is not all.
    OverQuota,
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
        (Self::SignTainted, "sign-tainted"),
        (Self::EagerKey, "eager-key"),
        (Self::AcceptTainted, "accept-tainted"),
        (Self::AnyKey, "any-key"),
        (Self::PurgeByLocalClock, "purge-by-local-clock"),
        (Self::StaleLists, "stale-lists"),
        (Self::AnyActor, "any-actor"),
        (Self::RestoreKeepsKeys, "restore-keeps-keys"),
        (Self::RestoreForgetsWhen, "restore-forgets-when"),
        (Self::LateFeedCredit, "late-feed-credit"),
        (Self::SameNonce, "same-nonce"),
        (Self::DeafToMarks, "deaf-to-marks"),
        (Self::UnprovedHeads, "unproved-heads"),
        (Self::FeedFreshAtOnce, "feed-fresh-at-once"),
        (Self::AnyFeedAge, "any-feed-age"),
        (Self::DeafToKeyMarks, "deaf-to-key-marks"),
        (Self::DeafToGroupMarks, "deaf-to-group-marks"),
        (Self::DeafToStretches, "deaf-to-stretches"),
        (Self::HalfACascade, "half-a-cascade"),
        (Self::IssueWhenIsolated, "issue-when-isolated"),
        (Self::VerifyWhenIsolated, "verify-when-isolated"),
        (Self::UnsyncedKeys, "unsynced-keys"),
        (Self::EarlyKeyFile, "early-key-file"),
        (Self::DeafSleeper, "deaf-sleeper"),
        (Self::RelabelledSecrets, "relabelled-secrets"),
        (Self::TokenKeyVouches, "token-key-vouches"),
        (Self::AnySuccession, "any-succession"),
        (Self::AnyWord, "any-word"),
        (Self::DeafToTaints, "deaf-to-taints"),
        (Self::DeafToKeys, "deaf-to-keys"),
        (Self::Unlimited, "unlimited"),
        (Self::HastyLimits, "hasty-limits"),
        (Self::NoQuota, "no-quota"),
        (Self::OverQuota, "over-quota"),
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
        Plant::AnyActor => (stamp_ms, by_user(command).map_or(command.into(), Cow::Owned)),
        Plant::RelabelledSecrets => (stamp_ms, relabelled(view, command).map_or(command.into(), Cow::Owned)),
        Plant::NoQuota => (stamp_ms, with_room(command).map_or(command.into(), Cow::Owned)),
        Plant::DeafToKeys => (stamp_ms, without_keys(command).map_or(command.into(), Cow::Owned)),
        _ => (stamp_ms, command.into()),
    }
}

/// The command as if the token's user had given it, with a password.
fn by_user(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Actor::Token(token) = &command.actor else { return None };
    command.actor = Actor::User { name: house::name(token.subject.user_name()?) };
    Some(command.encode())
}

/// The command as if it allowed for all of every feed.
fn with_room(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::SetConfig(set) = &mut command.action else { return None };
    set.config.circle_feed_entries_max = Config::default().circle_feed_entries_max;
    Some(command.encode())
}

/// The command as if no key in a feed could be used.
fn without_keys(command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::FollowFeed(follow) = &mut command.action else { return None };
    follow.keys.clear();
    Some(command.encode())
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

/// The command as if the keys that it brings were sealed under the present master key.
fn relabelled(view: &State, command: &[u8]) -> Option<Vec<u8>> {
    let mut command = Command::decode(command).ok()?;
    let Action::RotateKey(rotate) = &mut command.action else { return None };
    let (RotateKey::Publish { key, .. } | RotateKey::Taint { next: Some(key), .. }) = rotate.as_mut() else {
        return None;
    };
    key.private_key.under = view.master_key_fingerprint()?;
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

/// A bug in forgetting, where one is planted: what the machine has become after a command.
pub(crate) fn after_apply(machine: &Authority, command: &[u8]) -> Result<Option<Authority>, String> {
    let Some(scope) = scope::current() else { return Ok(None) };
    let plant = scope.history().plant();
    if !matches!(plant, Plant::PurgeByLocalClock | Plant::HalfACascade) {
        return Ok(None);
    }
    let action = Command::decode(command).map(|command| command.action);
    let forgets = match action {
        Ok(Action::Purge(Purge::Remove { .. })) => plant == Plant::PurgeByLocalClock,
        Ok(Action::RevokeToken(revoke)) => plant == Plant::HalfACascade && revoke.cascade,
        _ => false,
    };
    if !forgets {
        return Ok(None);
    }
    let mut state = Vec::new();
    machine.capture()(&mut state).map_err(|error| error.to_string())?;
    if plant == Plant::HalfACascade {
        let kept = without(&state, |record| record.first() == Some(&CASCADE));
        let kept = kept.ok_or("the state could not be taken apart")?;
        return Authority::restore(&mut kept.as_slice()).map(Some);
    }
    // Far enough for good clocks not to differ about it.
    let through = (scope.wall_ms() / 1_000).saturating_sub(30);
    let expired = |record: &[u8]| {
        let expiry = record.get(2..).and_then(|bytes| bytes.first_chunk());
        record.starts_with(&LISTED)
            && expiry.is_some_and(|expiry| u64::from(u32::from_le_bytes(*expiry)) <= through)
    };
    let kept = without(&state, expired).ok_or("the state could not be taken apart")?;
    Authority::restore(&mut kept.as_slice()).map(Some)
}

/// The tag of a revoked id among the records of a state, and what says that four bytes of its expiry follow.
const LISTED: [u8; 2] = [9, 252];
/// The tag of what a revoke has left to end.
const CASCADE: u8 = 20;
/// The tag of a watermark among the records of a state.
const WATERMARK: u8 = 60;
/// What stands before the records: a word and a version.
const HEAD_BYTES: usize = 14;

/// The bytes of a state without its watermarks, where their loss is planted. The layout is the one that the authority's
/// snapshots document: records of length, tag and content, an empty one, a checksum.
pub(crate) fn in_snapshot(state: Vec<u8>) -> Vec<u8> {
    let planted = scope::current().is_some_and(|scope| scope.history().plant() == Plant::ForgottenWatermark);
    if !planted {
        return state;
    }
    without(&state, |record| record.first() == Some(&WATERMARK)).unwrap_or(state)
}

/// The bytes of a state without some of its records.
fn without(state: &[u8], drops: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let mut records = records(state)?;
    records.retain(|record| !drops(record));
    joined(state, &records)
}

/// The records of a state: tag and content of each.
fn records(state: &[u8]) -> Option<Vec<&[u8]>> {
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

/// A state of these records, with the beginning that `state` has.
fn joined(state: &[u8], records: &[&[u8]]) -> Option<Vec<u8>> {
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

/// The tag of a key among the records of a state.
const KEY: u8 = 2;
/// The tag of where the present generation began.
const BEGUN: u8 = 61;

/// The master key that a cluster must go on with which keeps the keys of before, where that is planted.
pub(crate) fn master_key_of_before(history: &History, as_it_was: &[u8]) -> Option<MasterKey> {
    let planted = history.plant() == Plant::RestoreKeepsKeys;
    let before = planted.then(|| State::decode_snapshot(&mut &as_it_was[..]).ok()).flatten()?;
    history.master_key(&before.master_key_fingerprint()?)
}

/// A bug in beginning anew, where one is planted: what the next generation begins with. `as_it_was` is the state of before,
/// whole.
pub(crate) fn in_next_generation(plant: Plant, next: State, as_it_was: &[u8]) -> Result<State, String> {
    if !matches!(plant, Plant::RestoreKeepsKeys | Plant::RestoreForgetsWhen) {
        return Ok(next);
    }
    let mut state = Vec::new();
    next.encode_snapshot(&mut state).map_err(|error| error.to_string())?;
    let torn = || "the state could not be taken apart".to_owned();
    let mut records = records(&state).ok_or_else(torn)?;
    records.retain(|record| record.first() != Some(&BEGUN));
    if plant == Plant::RestoreKeepsKeys {
        records.retain(|record| record.first() != Some(&KEY));
        let before = self::records(as_it_was).ok_or_else(torn)?;
        records.extend(before.into_iter().filter(|record| record.first() == Some(&KEY)));
    }
    let state = joined(&state, &records).ok_or_else(torn)?;
    State::decode_snapshot(&mut state.as_slice()).map_err(|error| error.to_string())
}
