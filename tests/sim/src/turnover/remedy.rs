//! Key files that are damaged, and what whoever looks after the node does then: the file of another node takes the place.

use std::sync::Arc;

use super::custodian::Master;
use super::{NEXT, PRESENT, read};
use crate::cluster::{Cluster, Computer};
use crate::dice::Dice;
use crate::disk::{Disk, DiskFolder};
use crate::history::History;
use crate::sealing::MasterKey;

/// Damages a key file; says which and how, if there is one. A key that was on its way may be gone with it.
pub fn damage(disk: &Arc<Disk>, history: &History, dice: &Dice) -> Option<String> {
    let name = if dice.percent(25) { NEXT } else { PRESENT };
    let held = read(&DiskFolder::of_keys(Arc::clone(disk)), name);
    let how = disk.damage_key(name, dice)?;
    if let Ok(key) = held {
        history.note_damaged_key(key.fingerprint());
    }
    Some(format!("{name} is {how}"))
}

/// The key that is copied from another node, which runs.
pub fn copied(cluster: &Cluster, to: &Computer, dice: &Dice) -> Option<MasterKey> {
    let mut others = cluster.running();
    others.retain(|other| other.id != to.id);
    let from = dice.pick(&others)?;
    read(&DiskFolder::of_keys(Arc::clone(&from.disk)), PRESENT).ok()
}

/// Whether a node runs whose file holds the cluster's key, or one of before, for which it asks the others by itself.
#[must_use]
pub fn opens_well(computer: &Computer) -> bool {
    let Some((_, member)) = computer.node() else { return false };
    let view = Arc::clone(&member.published().view);
    let Ok(key) = read(&DiskFolder::of_keys(Arc::clone(&computer.disk)), PRESENT) else { return false };
    let found = key.fingerprint();
    view.master_key_fingerprint() == Some(found) || view.is_former_master_key(&found)
}
