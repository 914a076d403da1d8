//! Actions that turn the cluster's secrets over: another master key, and all that a lost node knew.

use crate::{
    codec::{wire_enum, wire_struct},
    command::{ClusterCa, NewKey},
    record::{Resealed, Sealed, SealedKind},
};

/// Put another master key in the place of the present one. The key itself is never in the log: nodes give it to each
/// other, and say here who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(u8)]
pub enum TurnMasterKey {
    /// Tell which key shall be next. Whoever proposes it has it on its disk.
    Announce {
        /// Its fingerprint.
        fingerprint: [u8; 32],
        /// The fingerprint of the key that the proposer believes to be the present one.
        replaces: [u8; 32],
        /// The node that has it.
        node: u64,
        /// A member that doesn't hold it so many seconds later is not waited for.
        patience_secs: u64,
    } = 1,
    /// A node has it on its disk.
    Hold {
        /// The key.
        fingerprint: [u8; 32],
        /// The node.
        node: u64,
    } = 2,
    /// Secrets of the state, sealed under it. Nothing changes by that yet.
    Reseal {
        /// The key.
        fingerprint: [u8; 32],
        /// Some of the secrets; as many commands as it takes.
        secrets: Vec<(SealedKind, Resealed)>,
    } = 3,
    /// From now on every secret is sealed under it.
    Switch {
        /// The key.
        fingerprint: [u8; 32],
    } = 4,
}
wire_enum!(TurnMasterKey {
    1 => Announce { fingerprint, replaces, node, patience_secs },
    2 => Hold { fingerprint, node },
    3 => Reseal { fingerprint, secrets },
    4 => Switch { fingerprint },
});

/// Somebody may have the disk of a node that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclareLost {
    /// Its id.
    pub node: u64,
}
wire_struct!(DeclareLost { node });

/// Replace what lost nodes knew, once none of it can be opened with their master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceSecrets {
    /// The CA's certificate that the proposer believes to be the present one.
    pub ca_replaces: Vec<u8>,
    /// The authority behind the nodes' certificates from now on, on a key of its own.
    pub ca: ClusterCa,
    /// The key of refresh tokens' MACs from now on, sealed.
    pub refresh_secret: Sealed,
    /// What signs from now on; every key before it is tainted.
    pub key: NewKey,
}
wire_struct!(ReplaceSecrets { ca_replaces, ca, refresh_secret, key });
