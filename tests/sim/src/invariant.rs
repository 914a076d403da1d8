//! What must hold, one file each; every event is shown to all of them.

use std::fmt::Debug;

use crate::history::Event;

mod acknowledged;
mod agreement;
mod begun_abroad;
mod circle_keys;
mod dated;
mod ended_trust;
mod feature_level;
mod fresh_after_start;
mod given_up;
mod imported;
mod isolation;
mod issued_once;
mod keys;
mod known_end;
mod last_used;
mod limits;
mod linearizable;
mod lives_on;
mod lost_node;
mod master_key;
mod never_votes;
mod node_ids;
mod on_floor;
mod one_successor;
mod paired;
mod policy;
mod proved_floors;
mod published_keys;
mod purge;
mod quota;
mod removed_node;
mod restored;
mod revoked_abroad;
mod revoked_actor;
mod revoked_bound;
mod revoked_family;
mod sealed;
mod set_back;
mod sound_state;
mod stolen_key;
mod thefts;
mod time;
mod told_keys;

/// Something that must hold at every step.
pub trait Invariant: Debug + Send {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Looks at an event; an error says what was seen that must not be. `now` is in nanoseconds.
    fn see(&mut self, now: u64, event: &Event) -> Result<(), String>;

    /// Looks back on the whole history once it is over.
    fn finish(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// All of them, knowing nothing yet.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<agreement::Agreement>::default(),
        Box::<acknowledged::Acknowledged>::default(),
        Box::<issued_once::IssuedOnce>::default(),
        Box::<imported::Imported>::default(),
        Box::<restored::Restored>::default(),
        Box::<on_floor::OnFloor>::default(),
        Box::<proved_floors::ProvedFloors>::default(),
        Box::<lives_on::LivesOn>::default(),
        Box::<one_successor::OneSuccessor>::default(),
        Box::<revoked_family::RevokedFamily>::default(),
        Box::<revoked_bound::RevokedBound>::default(),
        Box::<revoked_abroad::RevokedAbroad>::default(),
        Box::<revoked_actor::RevokedActor>::default(),
        Box::<fresh_after_start::FreshAfterStart>::default(),
        Box::<policy::Policy>::default(),
        Box::<keys::Keys>::default(),
        Box::<known_end::KnownEnd>::default(),
        Box::<master_key::MasterKey>::default(),
        Box::<sealed::Sealed>::default(),
        Box::<removed_node::RemovedNode>::default(),
        Box::<lost_node::LostNode>::default(),
        Box::<published_keys::PublishedKeys>::default(),
        Box::<told_keys::ToldKeys>::default(),
        Box::<circle_keys::CircleKeys>::default(),
        Box::<limits::Limits>::default(),
        Box::<ended_trust::EndedTrust>::default(),
        Box::<begun_abroad::BegunAbroad>::default(),
        Box::<stolen_key::StolenKey>::default(),
        Box::<paired::Paired>::default(),
        Box::<quota::Quota>::default(),
        Box::<isolation::Isolation>::default(),
        Box::<dated::Dated>::default(),
        Box::<purge::Purge>::default(),
        Box::<last_used::LastUsed>::default(),
        Box::<linearizable::Linearizable>::default(),
        Box::<node_ids::NodeIds>::default(),
        Box::<never_votes::NeverVotes>::default(),
        Box::<given_up::GivenUp>::default(),
        Box::<set_back::SetBack>::default(),
        Box::<feature_level::FeatureLevel>::default(),
        Box::<time::Time>::default(),
        Box::<sound_state::SoundState>::default(),
    ]
}

/// What a run judges itself, once nothing goes wrong any more.
const LIVENESS: &str = "liveness";

/// Likewise: no task of a node, and nothing else that a run does, panics.
pub const NO_PANIC: &str = "no-panic";

/// What those are held to that a recovery gave up: they live on in a history that doesn't know what was before.
pub const OF_GIVEN_UP: &[&str] =
    &["given-up", "agreement", "acknowledged", "fresh-after-start", "revoked-bound", "time", "sound-state"];

/// What can be broken, by name.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().into_iter().map(|invariant| invariant.name()).chain([LIVENESS, NO_PANIC])
}

/// The name of the invariant that is called so.
#[must_use]
pub fn named(name: &str) -> Option<&'static str> {
    names().find(|known| *known == name)
}
