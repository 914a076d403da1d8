//! What the state says of master keys, each node's files show.

use circlet_authority::{Action, Actor, NextMasterKey, NodeRole, Refusal, State, TurnMasterKey};

use super::asking::ask_any;
use super::custodian::{Custodian, Master, Place, others, shown};

/// Sees to it that this node's files hold what its view says.
pub async fn keep<C: Custodian>(node: &C) -> Result<(), C::Failure> {
    let _held = node.filing().lock().await;
    // Not before: it would not know what was announced meanwhile.
    let view = node.view();
    let Some(present) = view.master_key_fingerprint() else { return Ok(()) };
    keep_present(node, &view, &present).await?;
    match view.next_master_key() {
        Some(next) => keep_next(node, &view, next).await,
        None => forget_next(node, &present),
    }
}

/// Sees to it that this node holds the present key, and that its file does.
async fn keep_present<C: Custodian>(node: &C, view: &State, present: &[u8; 32]) -> Result<(), C::Failure> {
    let found = match node.read(Place::Present) {
        Ok(key) if key.fingerprint() == *present => {
            node.tell_problem(None);
            return Ok(());
        }
        Ok(key) => key.fingerprint(),
        Err(error) => {
            node.tell_problem(Some(error.to_string()));
            return Ok(());
        }
    };
    if let Ok(next) = node.read(Place::Next)
        && next.fingerprint() == *present
    {
        node.hold(&next);
        node.promote()?;
        tracing::info!(
            present = shown(present),
            former = shown(&found),
            "the next master key took its place"
        );
        return Ok(());
    }
    if !view.is_former_master_key(&found) {
        // It may be ahead of a view that has not caught up yet; otherwise the node says at its start what is wrong.
        if view.next_master_key().is_none_or(|next| next.fingerprint != found) && node.is_fresh() {
            node.tell_problem(Some(format!(
                "it is another key: its fingerprint is {}, the cluster's is {}; put back that of another node, or \
                 this node does not start again",
                shown(&found),
                shown(present)
            )));
        }
        return Ok(());
    }
    let key = match node.held(present) {
        Some(key) => key,
        None => ask_any(node, others(view, node.id()), present).await?,
    };
    node.hold(&key);
    tracing::warn!(
        found = shown(&found),
        present = shown(present),
        "the file holds an older master key than the cluster's, which takes its place; if something places this file, \
         such as configuration management, give it the cluster's"
    );
    node.write(Place::Present, &key)
}

/// Sees to it that this node has the next key on its disk, and says so.
async fn keep_next<C: Custodian>(node: &C, view: &State, next: &NextMasterKey) -> Result<(), C::Failure> {
    let filed = node.read(Place::Next).ok();
    let is_it = filed.as_ref().map(|key| key.fingerprint() == next.fingerprint);
    // Where the view is of before, it may be a later one, of which the node has said that it holds it.
    if is_it == Some(false) && !node.is_fresh() {
        return Ok(());
    }
    if let Some(key) = filed.filter(|_| is_it == Some(true)) {
        node.hold(&key);
    } else {
        let key = if let Some(key) = node.held(&next.fingerprint) {
            key
        } else {
            let holders = others(view, node.id()).filter(|id| next.holders.contains(id));
            ask_any(node, holders, &next.fingerprint).await?
        };
        node.write(Place::Next, &key)?;
        node.hold(&key);
    }
    if view.without_master_key(next).any(|id| id == node.id()) {
        let hold = TurnMasterKey::Hold { fingerprint: next.fingerprint, node: node.id() };
        node.decide(Actor::System, Action::TurnMasterKey(Box::new(hold))).await?;
        tracing::info!(fingerprint = shown(&next.fingerprint), "this node holds the next master key");
    }
    Ok(())
}

/// Removes the file of a key that was given up. A view of before its announcement knows nothing of it.
fn forget_next<C: Custodian>(node: &C, present: &[u8; 32]) -> Result<(), C::Failure> {
    // Whatever was on its way, the present one must be where it belongs by now.
    let is_in_place = node.read(Place::Present).is_ok_and(|key| key.fingerprint() == *present);
    if is_in_place && node.is_fresh() && node.forget_next()? {
        tracing::info!("a next master key that was given up is removed");
    }
    Ok(())
}

/// Makes a new master key, writes it beside the present one, and tells the cluster of it. Returns its fingerprint, and the
/// log index that announced it.
pub async fn announce<C: Custodian>(
    node: &C,
    actor: Actor,
    replaces: [u8; 32],
    patience_secs: u64,
) -> Result<([u8; 32], u64), C::Failure> {
    let _held = node.filing().lock().await;
    // The file beside may hold the present key: the switch has been decided, and this node has not got to renaming it.
    let view = node.view();
    if view.master_key_fingerprint() != Some(replaces) {
        return Err(Refusal::MasterKeyReplaced.into());
    }
    // It may have come while this waited, and this node may have said that it has it on its disk: there is one place for it. By
    // the state's time, which is what the cluster will go by.
    if view.next_master_key().is_some_and(|next| !view.is_master_key_given_up(next, view.now_ms())) {
        return Err(Refusal::MasterKeyUnderWay.into());
    }
    keep_present(node, &view, &replaces).await?;
    if !node.read(Place::Present).is_ok_and(|key| key.fingerprint() == replaces) {
        return Err("the file of this node doesn't hold the present master key".to_owned().into());
    }
    let key = node.generate();
    let fingerprint = key.fingerprint();
    node.write(Place::Next, &key)?;
    node.hold(&key);
    let announce = TurnMasterKey::Announce { fingerprint, replaces, node: node.id(), patience_secs };
    let index = node.decide(actor, Action::TurnMasterKey(Box::new(announce))).await?;
    tracing::info!(fingerprint = shown(&fingerprint), index, "another master key is on its way");
    Ok((fingerprint, index))
}

/// Whether nobody gives the key of this view to a node that holds another one: that was never the cluster's, or there is no
/// other node to ask.
#[must_use]
pub fn is_left_alone(view: &State, own: &[u8; 32]) -> bool {
    let members = view.nodes().filter(|node| node.role != NodeRole::Admitted);
    !view.is_former_master_key(own) || members.count() <= 1
}
