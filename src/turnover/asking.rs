//! Nodes give each other the master key over the connections that members have among themselves: mutual TLS, each side
//! held to the key that the membership records. Who answers proves first that its view is fresh, so that no node that was
//! removed is given anything by one that has not heard of that.

use std::time::Duration;

use circlet_authority::NodeRole;
use circlet_raft::NodeId;

use super::custodian::{Custodian, Master, shown};

/// What stands before the fingerprint in a question.
const QUESTION: &[u8] = b"circlet master key 1:";
/// How long one node is waited for.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// How a node asks another for the master key with this fingerprint.
#[must_use]
pub fn question(fingerprint: &[u8; 32]) -> Vec<u8> {
    [QUESTION, fingerprint].concat()
}

/// Asks these nodes, one after the other, for the master key with this fingerprint.
pub(super) async fn ask_any<C: Custodian>(
    node: &C,
    members: impl Iterator<Item = NodeId> + Send,
    fingerprint: &[u8; 32],
) -> Result<C::Key, C::Failure> {
    let mut failures = Vec::new();
    for member in members {
        match node.ask(member, question(fingerprint), ASK_TIMEOUT).await {
            Ok(material) => {
                let key = C::Key::of_material(material);
                if key.fingerprint() == *fingerprint {
                    return Ok(key);
                }
                failures.push(format!("node {member} gave another key"));
            }
            Err(why) => failures.push(format!("node {member}: {why}")),
        }
    }
    let asked = if failures.is_empty() { "there is no other node".to_owned() } else { failures.join("; ") };
    let fingerprint = shown(fingerprint);
    let why = format!("no node gives this one the master key with the fingerprint {fingerprint}: {asked}");
    Err(why.into())
}

/// Answers a member that asks for the present master key, or for the next.
pub async fn give<C: Custodian>(node: &C, from: NodeId, question: &[u8]) -> Result<Vec<u8>, String> {
    let fingerprint = question.strip_prefix(QUESTION).and_then(|rest| <[u8; 32]>::try_from(rest).ok());
    let fingerprint = fingerprint.ok_or("this is not a question that this version understands")?;
    let view = node.fresh().await?;
    if view.node(from).is_none_or(|node| node.role == NodeRole::Admitted) {
        return Err(format!("node {from} is not a member"));
    }
    let next = view.next_master_key().map(|next| next.fingerprint);
    if view.master_key_fingerprint() != Some(fingerprint) && next != Some(fingerprint) {
        return Err("that master key is neither the present one nor the next".to_owned());
    }
    let key = node.held(&fingerprint).ok_or("this node does not hold that master key itself")?;
    tracing::info!(to = from, fingerprint = shown(&fingerprint), "gave a member the master key");
    Ok(key.to_material())
}
