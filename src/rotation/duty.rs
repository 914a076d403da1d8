//! What a node has to do for the signing keys, read off a view. No clock, no node, no key, so that the simulator's nodes
//! do the same.

use circlet_authority::{Key, KeyState, RotateKey, State};

/// What the leader does next.
#[derive(Debug)]
pub enum Duty {
    /// A key takes its next step.
    Step(RotateKey),
    /// The active key is old enough: a new one is made and published.
    Renew,
}

/// The published key, if this node has not said yet that it unsealed it.
#[must_use]
pub fn unconfirmed(view: &State, node: u64) -> Option<&Key> {
    view.next_key().filter(|key| view.unconfirmed(key).any(|id| id == node))
}

/// What the leader has to do at `now_ms`, if anything.
#[must_use]
pub fn of_leader(view: &State, now_ms: u64) -> Option<Duty> {
    let active = view.active_key()?;
    if let Some(next) = view.next_key() {
        let ready = view.key_waits(next, now_ms).is_none();
        let activate = RotateKey::Activate { kid: next.kid.clone(), replaces: active.kid.clone() };
        return ready.then_some(Duty::Step(activate));
    }
    let mut retiring = view.keyring().filter(|key| key.state == KeyState::Retiring);
    if let Some(over) = retiring.find(|key| view.key_is_needed(key, now_ms, false).is_none()) {
        return Some(Duty::Step(RotateKey::Retire { kid: over.kid.clone(), vouched: false }));
    }
    let interval_secs = u64::try_from(view.config().key_rotation_interval).unwrap_or(0);
    let age_secs = now_ms.saturating_sub(active.since_ms) / 1000;
    (interval_secs > 0 && age_secs >= interval_secs).then_some(Duty::Renew)
}
