//! For each invariant a planted bug that it catches by itself, so that none stands by and looks on.

use crate::plant::Plant;

/// Invariants by name, and what each must catch where it alone judges.
pub const PROOFS: &[(&str, Plant)] = &[
    ("agreement", Plant::LocalClock),
    ("acknowledged", Plant::AnswerUnseen),
    ("issued-once", Plant::IssueAnew),
    ("imported", Plant::UnlistedHeirs),
    ("restored", Plant::RestoreKeepsKeys),
    ("on-floor", Plant::UnmarkedFloor),
    ("proved-floors", Plant::PartOfFloors),
    ("lives-on", Plant::FloorInVain),
    ("one-successor", Plant::RefreshTwice),
    ("revoked-family", Plant::LivingFamily),
    ("revoked-bound", Plant::LateCredit),
    ("revoked-abroad", Plant::AnyFeedAge),
    ("revoked-actor", Plant::AnyActor),
    ("fresh-after-start", Plant::FreshAtStart),
    ("policy", Plant::NoPolicy),
    ("keys", Plant::EagerKey),
    ("known-end", Plant::DeafToDisabled),
    ("master-key", Plant::UnsyncedKeys),
    ("sealed", Plant::RelabelledSecrets),
    ("removed-node", Plant::GiveUnproved),
    ("lost-node", Plant::KeptRefreshSecret),
    ("published-keys", Plant::AnyKey),
    ("told-keys", Plant::DeafToKeys),
    ("circle-keys", Plant::AnySuccession),
    ("limits", Plant::Unlimited),
    ("ended-trust", Plant::KeptTrust),
    ("begun-abroad", Plant::RestoreUntold),
    ("stolen-key", Plant::SparedThief),
    ("paired", Plant::ReusedInvitation),
    ("quota", Plant::NoQuota),
    ("isolation", Plant::IssueWhenIsolated),
    ("dated", Plant::DatesAnything),
    ("purge", Plant::PurgeByLocalClock),
    ("last-used", Plant::EarlierUses),
    ("linearizable", Plant::StaleLists),
    ("node-ids", Plant::RecycledId),
    ("never-votes", Plant::EveryoneVotes),
    ("given-up", Plant::UnkeptWord),
    ("set-back", Plant::LogReversion),
    ("feature-level", Plant::PlaysAlong),
    ("time", Plant::BlindStamps),
    ("sound-state", Plant::UnsyncedSnapshots),
    ("liveness", Plant::HalfDoneChanges),
    ("no-panic", Plant::PanickingTask),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::invariant;

    #[test]
    fn each_invariant_is_paired_with_a_bug_that_it_catches_by_itself() {
        let proved: BTreeSet<&str> = PROOFS.iter().map(|(invariant, _)| *invariant).collect();
        let judges: BTreeSet<&str> = invariant::names().collect();
        assert_eq!(proved, judges);
        assert_eq!(proved.len(), PROOFS.len(), "each once");
        let does_harm =
            |plant: Plant| Plant::ALL.iter().any(|(known, _)| *known == plant) && !plant.is_harmless();
        assert!(PROOFS.iter().all(|(_, plant)| does_harm(*plant)));
    }
}
