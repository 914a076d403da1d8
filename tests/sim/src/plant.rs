//! Planted bugs: each must be caught, or the simulator proves nothing.

use circlet_raft::defects::Defects;

mod applying;
mod commands;
mod floors;
mod guests;
mod levels;
mod refreshing;
mod secrets;
mod states;

pub(crate) use applying::in_place_of_apply;
pub(crate) use commands::{before_apply, in_outcome};
pub(crate) use floors::{on_floor, part_of_floors};
pub(crate) use levels::{feature_level, in_place_of_restore, may_vote};
pub(crate) use secrets::made_up_key;
pub(crate) use states::{after_apply, in_next_generation, in_snapshot, master_key_of_before};

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
    /// A node that starts takes for fresh what it finds on its disk.
    FreshAtStart,
    /// What a view refuses is refused at once, however old that is.
    HastyRefusals,
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
    /// The same, and nobody is told what came of it.
    SilentRefresh,
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
    /// A purge takes for expired what lives some seconds longer than its mark.
    PurgeEarly,
    /// A watermark is forgotten when it refuses nothing recorded any more, whatever else it may refuse.
    ShortHorizon,
    /// Lists are read from any view, and said to be fresh.
    StaleLists,
    /// Whoever has a token may do what its user may, whatever became of the token.
    AnyActor,
    /// A cluster that begins anew goes on with the keys of before, and forgets that it began.
    RestoreKeepsKeys,
    /// A cluster that begins anew forgets when it did: what others issued before is good again.
    RestoreForgetsWhen,
    /// Nobody abroad is told that a cluster began anew, but for the keys that it knows.
    RestoreUntold,
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
    /// Without the log a node signs for whoever asks.
    UnaskedDrafts,
    /// Who shows a token for another one is heard by the view that there is.
    UnvouchedBearers,
    /// Watermarks on keys are ignored.
    DeafToKeyMarks,
    /// Watermarks on groups of subjects, and on everybody, are ignored.
    DeafToGroupMarks,
    /// Watermarks are ignored on what can't be revoked.
    DeafToMarksOnPlain,
    /// Who speaks for a disabled user is heard.
    DeafToDisabled,
    /// Watermarks on stretches of time are ignored.
    DeafToStretches,
    /// Watermarks of neighbours on stretches of time are ignored.
    DeafToStretchesAbroad,
    /// What a revoke has left to end of its descendants is forgotten.
    HalfACascade,
    /// A node that is cut off issues plain tokens for ever.
    IssueWhenIsolated,
    /// A node dates plain tokens whatever its clock shows.
    DatesAnything,
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
    /// What a token key of a neighbour's signs is taken for its verdict on an order.
    AnyVerdict,
    /// A verdict that a circle key of before has signed counts as the present one's.
    OldVerdicts,
    /// A token is revoked for whichever member asks for it.
    RevokeForAnyone,
    /// Of a neighbour that is dismissed the certificates stay trusted.
    KeptTrust,
    /// Of a neighbour that is dismissed the key stays trusted that a thief of its circle key has told.
    SparedThief,
    /// An invitation that was used lets somebody else in.
    ReusedInvitation,
    /// An invitation that has expired lets somebody in.
    LateInvitation,
    /// An invitation lets in whoever comes with it first.
    AnyGuestNamed,
    /// Who comes with an invitation need not prove that he knows its secret.
    AnyGuest,
    /// Whoever answers a guest need not prove that he knows the secret.
    AnyHost,
    /// What a guest repeats who was dismissed is trusted again.
    RepeatsTrusted,
    /// All of a neighbour's feed is kept, however much that is.
    NoQuota,
    /// What is kept of a neighbour's feed suffices, though it is not all.
    OverQuota,
    /// A token that is asked for once more is answered as if it were issued now.
    IssueAnew,
    /// A revoke of a token that has been refreshed leaves its family alone.
    LivingFamily,
    /// Who takes the place of a removed node is given its id.
    RecycledId,
    /// A node gives the master key by any view, however old that is.
    GiveUnproved,
    /// Of what a lost node knew the refresh secret is left as it is.
    KeptRefreshSecret,
    /// A disk that went back is filled again, whatever it had acknowledged.
    LogReversion,
    /// A refresh asks for no watermark.
    DeafRefresh,
    /// Who is shut out or removed is taken for the administrator.
    AnyUser,
    /// A token is issued under an id that another one has.
    TakenId,
    /// A cluster that has begun anew accepts what a key of before has signed since.
    RestoreTrustsKeys,
    /// What a node does by itself panics.
    PanickingTask,
    /// Whoever asks again for a token is given another one, whatever key is sent.
    DeafToRepeats,
    /// A successor has no reference token.
    LostReferences,
    /// Who has a pair may change at its refresh what administrators may.
    AnyChange,
    /// A successor has the scope and audience of before, whatever was asked for.
    KeptScope,
    /// Who asks is no part of what a refresh with changes is known by.
    AnyonesRepeat,
    /// A reference token that stands for nothing any more is accepted all the same.
    BelievedReferences,
    /// A reference token that a node doesn't know is refused by any view.
    HastyReferences,
    /// With the reference token of a token that was refreshed no refresh is repeated.
    UnpairedRepeats,
    /// What can be revoked of an older installation's tokens is good, whether it was imported or not.
    UnlistedHeirs,
    /// What is imported takes the place of what is there.
    ImportAnew,
    /// What was revoked is good again once it is imported.
    ImportRevives,
    /// Whoever is left out when a group is written stays in it.
    ClingingMembers,
    /// Of two uses of a token the one that was told last counts.
    EarlierUses,
    /// A node that starts has forgotten how far it knew that the log is decided.
    ForgottenCommitted,
    /// Whatever a node says that it supports, it is taken to support every feature level.
    AssumedSupport,
    /// A node that supports less than its cluster's feature level goes on.
    PlaysAlong,
    /// A node that supports less is let in.
    OlderJoins,
    /// A leader is sent what only a later version reads.
    EarlyTraces,
    /// A cluster that begins anew begins at the first feature level.
    RestoreForgetsLevel,
    /// A node that can't read its key file makes another key, and says nothing.
    MadeUpKey,
    /// A key file that found no room is taken for written.
    UnwrittenKeys,
    /// A node acknowledges what its floor doesn't hold yet.
    UnheldFloor,
    /// A floor that moves stays where it was as well.
    FloorNotLeft,
    /// What is written to a floor isn't synced.
    UnsyncedFloor,
    /// No watermark is written to a floor.
    UnmarkedFloor,
    /// Whoever restores takes the floors that can be read for all that there were.
    PartOfFloors,
    /// Refresh tokens live on with a floor as access tokens do.
    RefreshOnFloor,
    /// A cluster that begins anew on a floor begins as if there were none.
    FloorInVain,
    /// A node that joined as one that never votes is given a vote.
    EveryoneVotes,
    /// A node that has moved tells nobody where it is.
    Unannounced,
    /// A node that is told that it was given up doesn't listen.
    DeafToSuccession,
    /// A node says that it knows that it was given up, and writes nothing down.
    UnkeptWord,
    /// A node that was given up goes on until somebody stops it.
    StaysOn,
    /// A node believes whoever says that it was given up.
    AnySuccessor,
}

impl Plant {
    /// All of them with their names and what they do.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::EarlyAcknowledgement, "early-acknowledgement"),
        (Self::NoFreshnessCheck, "no-freshness-check"),
        (Self::NoProofAfterStart, "no-proof-after-start"),
        (Self::FreshAtStart, "fresh-at-start"),
        (Self::HastyRefusals, "hasty-refusals"),
        (Self::LateCredit, "late-credit"),
        (Self::LeaderRestore, "leader-restore"),
        (Self::LeaseReads, "lease-reads"),
        (Self::AnswerUnseen, "answer-unseen"),
        (Self::BlindStamps, "blind-stamps"),
        (Self::RefreshTwice, "refresh-twice"),
        (Self::SilentRefresh, "silent-refresh"),
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
        (Self::PurgeEarly, "purge-early"),
        (Self::ShortHorizon, "short-horizon"),
        (Self::StaleLists, "stale-lists"),
        (Self::AnyActor, "any-actor"),
        (Self::AnyUser, "any-user"),
        (Self::RestoreKeepsKeys, "restore-keeps-keys"),
        (Self::RestoreForgetsWhen, "restore-forgets-when"),
        (Self::RestoreUntold, "restore-untold"),
        (Self::LateFeedCredit, "late-feed-credit"),
        (Self::SameNonce, "same-nonce"),
        (Self::DeafToMarks, "deaf-to-marks"),
        (Self::UnprovedHeads, "unproved-heads"),
        (Self::FeedFreshAtOnce, "feed-fresh-at-once"),
        (Self::AnyFeedAge, "any-feed-age"),
        (Self::UnaskedDrafts, "unasked-drafts"),
        (Self::UnvouchedBearers, "unvouched-bearers"),
        (Self::DeafToKeyMarks, "deaf-to-key-marks"),
        (Self::DeafToGroupMarks, "deaf-to-group-marks"),
        (Self::DeafToMarksOnPlain, "deaf-to-marks-on-plain"),
        (Self::DeafToDisabled, "deaf-to-disabled"),
        (Self::DeafToStretches, "deaf-to-stretches"),
        (Self::DeafToStretchesAbroad, "deaf-to-stretches-abroad"),
        (Self::HalfACascade, "half-a-cascade"),
        (Self::IssueWhenIsolated, "issue-when-isolated"),
        (Self::DatesAnything, "dates-anything"),
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
        (Self::AnyVerdict, "any-verdict"),
        (Self::RevokeForAnyone, "revoke-for-anyone"),
        (Self::KeptTrust, "kept-trust"),
        (Self::SparedThief, "spared-thief"),
        (Self::ReusedInvitation, "reused-invitation"),
        (Self::LateInvitation, "late-invitation"),
        (Self::AnyGuestNamed, "any-guest-named"),
        (Self::AnyGuest, "any-guest"),
        (Self::AnyHost, "any-host"),
        (Self::RepeatsTrusted, "repeats-trusted"),
        (Self::NoQuota, "no-quota"),
        (Self::OverQuota, "over-quota"),
        (Self::IssueAnew, "issue-anew"),
        (Self::LivingFamily, "living-family"),
        (Self::RecycledId, "recycled-id"),
        (Self::GiveUnproved, "give-unproved"),
        (Self::KeptRefreshSecret, "kept-refresh-secret"),
        (Self::LogReversion, "log-reversion"),
        (Self::DeafRefresh, "deaf-refresh"),
        (Self::TakenId, "taken-id"),
        (Self::RestoreTrustsKeys, "restore-trusts-keys"),
        (Self::PanickingTask, "panicking-task"),
        (Self::DeafToRepeats, "deaf-to-repeats"),
        (Self::LostReferences, "lost-references"),
        (Self::AnyChange, "any-change"),
        (Self::KeptScope, "kept-scope"),
        (Self::AnyonesRepeat, "anyones-repeat"),
        (Self::BelievedReferences, "believed-references"),
        (Self::HastyReferences, "hasty-references"),
        (Self::UnpairedRepeats, "unpaired-repeats"),
        (Self::OldVerdicts, "old-verdicts"),
        (Self::UnlistedHeirs, "unlisted-heirs"),
        (Self::ImportAnew, "import-anew"),
        (Self::ImportRevives, "import-revives"),
        (Self::ClingingMembers, "clinging-members"),
        (Self::EarlierUses, "earlier-uses"),
        (Self::ForgottenCommitted, "forgotten-committed"),
        (Self::AssumedSupport, "assumed-support"),
        (Self::PlaysAlong, "plays-along"),
        (Self::OlderJoins, "older-joins"),
        (Self::EarlyTraces, "early-traces"),
        (Self::RestoreForgetsLevel, "restore-forgets-level"),
        (Self::MadeUpKey, "made-up-key"),
        (Self::UnwrittenKeys, "unwritten-keys"),
        (Self::UnheldFloor, "unheld-floor"),
        (Self::FloorNotLeft, "floor-not-left"),
        (Self::UnsyncedFloor, "unsynced-floor"),
        (Self::UnmarkedFloor, "unmarked-floor"),
        (Self::PartOfFloors, "part-of-floors"),
        (Self::RefreshOnFloor, "refresh-on-floor"),
        (Self::FloorInVain, "floor-in-vain"),
        (Self::EveryoneVotes, "everyone-votes"),
        (Self::Unannounced, "unannounced"),
        (Self::DeafToSuccession, "deaf-to-succession"),
        (Self::UnkeptWord, "unkept-word"),
        (Self::StaysOn, "stays-on"),
        (Self::AnySuccessor, "any-successor"),
    ];

    /// Whether it breaks nothing that is promised, which `docs/simulation.md` explains: then nothing may catch it.
    #[must_use]
    pub fn is_harmless(self) -> bool {
        self == Self::ForgottenCommitted
    }

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
            log_reversion: self == Self::LogReversion,
            takes_back: self == Self::RecycledId,
            fresh_at_start: self == Self::FreshAtStart,
            any_successor: self == Self::AnySuccessor,
        }
    }
}
