//! The leader's part in turning the master key over: once the members hold the next one, the secrets are sealed under it,
//! and one entry makes it the present one. Each step is read off the view, so whoever leads next goes on.

use circlet_authority::{Action, Actor, NextMasterKey, State, TurnMasterKey};

use super::custodian::{Custodian, shown};

/// So long a silent node is waited for when somebody else may have the present master key, in seconds.
pub const LOST_PATIENCE_SECS: u64 = 10;

/// Resealed secrets in one command, in bytes: well below what the log takes.
const RESEAL_BYTES_MAX: usize = 32 << 10;

/// What a leader has to see to.
pub enum Due<'v> {
    /// A master key is on its way: [`drive`] takes the next step.
    Turn(&'v NextMasterKey),
    /// A lost node knew the present master key, which has this fingerprint: another is to be announced.
    Announce([u8; 32]),
    /// Lost nodes knew all other secrets: they are to be replaced.
    Replace,
}

/// What is due by a view, if anything is.
#[must_use]
pub fn due(view: &State, now_ms: u64) -> Option<Due<'_>> {
    let present = view.master_key_fingerprint()?;
    let has_lost = view.lost_nodes_pending().next().is_some();
    // Where a node was lost, another key takes the place of one that was given up.
    let next = view.next_master_key().filter(|next| !has_lost || !view.is_master_key_given_up(next, now_ms));
    if let Some(next) = next {
        return Some(Due::Turn(next));
    }
    if !has_lost {
        return None;
    }
    let is_known = view.lost_nodes_pending().any(|lost| lost.master_key == present);
    Some(if is_known { Due::Announce(present) } else { Due::Replace })
}

/// Takes the next step for the key on its way, if there is one. Returns the log index of the switch if that was it.
pub async fn drive<C: Custodian>(
    node: &C,
    view: &State,
    next: &NextMasterKey,
) -> Result<Option<u64>, C::Failure> {
    if view.master_key_waits(next, node.now_ms(view)).is_some() {
        return Ok(None);
    }
    let fingerprint = next.fingerprint;
    let left = view.not_resealed();
    if left.is_empty() {
        let switch = TurnMasterKey::Switch { fingerprint };
        let index = node.decide(Actor::System, Action::TurnMasterKey(Box::new(switch))).await?;
        tracing::info!(fingerprint = shown(&fingerprint), index, "the cluster has another master key");
        return Ok(Some(index));
    }
    let unheld =
        || format!("this node does not hold the master key with the fingerprint {}", shown(&fingerprint));
    let under = node.held(&fingerprint).ok_or_else(unheld)?;
    let (mut secrets, mut bytes) = (Vec::new(), 0);
    for which in left {
        let resealed = node.reseal(view, &which, &under)?;
        bytes += resealed.sealed.ciphertext.len() + 256;
        if bytes > RESEAL_BYTES_MAX && !secrets.is_empty() {
            break;
        }
        secrets.push((which, resealed));
    }
    let reseal = TurnMasterKey::Reseal { fingerprint, secrets };
    node.decide(Actor::System, Action::TurnMasterKey(Box::new(reseal))).await?;
    Ok(None)
}
