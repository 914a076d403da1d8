//! The master key that shall take the place of the present one, and nodes that somebody else may have.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sealed, SealedKind};
use crate::codec::wire_struct;

/// A master key on its way: announced, held by more and more nodes, and then what everything is sealed under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextMasterKey {
    /// Its fingerprint; the key itself is never in the log.
    pub fingerprint: [u8; 32],
    /// The log index that announced it.
    pub since_index: u64,
    /// The state's time at which it was announced, milliseconds.
    pub since_ms: u64,
    /// A member that doesn't hold it so many seconds later is not waited for any more.
    pub patience_secs: u64,
    /// The nodes that have it on their disks.
    pub holders: BTreeSet<u64>,
    /// The secrets of the state, sealed under it.
    pub secrets: BTreeMap<SealedKind, Resealed>,
}
wire_struct!(NextMasterKey { fingerprint, since_index, since_ms, patience_secs, holders, secrets });

/// A secret of the state, sealed under the next master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// The nonce of the form that it replaces: if another secret stands there by then, it replaces nothing.
    pub replaces: [u8; 24],
    /// The secret under the next master key.
    pub sealed: Sealed,
}
wire_struct!(Resealed { replaces, sealed });

/// A node whose disk somebody may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostNode {
    /// Its id.
    pub id: u64,
    /// What it called itself.
    pub name: String,
    /// The log index at which it was declared lost.
    pub index: u64,
    /// The fingerprint of the master key that the cluster had then.
    pub master_key: [u8; 32],
    /// The log index at which all that it knew had been replaced; `None` while something has not.
    pub replaced: Option<u64>,
}
wire_struct!(LostNode { id, name, index, master_key, replaced });

/// What secrets there were before the present ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerSecrets {
    /// The log index at which the present refresh secret took its place, if it is not the first: no refresh token that was
    /// handed out before can be told from a forged one.
    pub refresh_since: u64,
    /// The fingerprints of the master keys before the present one, the latest last.
    pub master_keys: Vec<[u8; 32]>,
}
wire_struct!(FormerSecrets { refresh_since, master_keys });
