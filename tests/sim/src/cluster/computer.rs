//! A machine, and whoever comes to a cluster.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use circlet_raft::{NodeId, Peer};

use crate::clock::Clock;
use crate::disk::{Disk, FloorDisk};
use crate::machine::Member;
use crate::scope::{Scope, lock};

/// A machine with a disk and clocks; a node runs on it, or doesn't.
pub struct Computer {
    /// The node's id.
    pub id: NodeId,
    /// How the others know it, where it was at first.
    pub(super) known_as: Peer,
    /// How often it has moved to another address.
    pub(super) moves: AtomicU32,
    /// Whether it votes, or never does.
    pub votes: bool,
    /// Where log and snapshots are.
    pub disk: Arc<Disk>,
    /// Where its floor is, if it keeps one.
    pub floor: Option<FloorDisk>,
    /// Its clocks, which go on while it is down.
    pub clock: Arc<Mutex<Clock>>,
    pub(super) version: AtomicU32,
    pub(super) floor_moves: AtomicU32,
    pub(super) introduced: Vec<(NodeId, Peer)>,
    pub(super) running: Mutex<Running>,
    /// The node is being removed, and stops itself when it hears of it.
    pub(super) leaving: AtomicBool,
    /// It was thrown away, and never starts again.
    pub(super) gone: AtomicBool,
}

#[derive(Default)]
pub(super) struct Running {
    pub(super) lives: u64,
    /// It is being started.
    pub(super) opens: bool,
    pub(super) node: Option<(Arc<Scope>, Arc<Member>)>,
    /// Whom the log of the last node named; nobody, where a crash may have lost that.
    pub(super) knew: BTreeSet<NodeId>,
}

impl Computer {
    /// The node that runs here, if one does.
    pub fn node(&self) -> Option<(Arc<Scope>, Arc<Member>)> {
        lock(&self.running).node.clone()
    }

    /// Whom its log names: that of the node that runs here, or that did, as far as that is certain.
    pub fn knows(&self) -> BTreeSet<NodeId> {
        let running = lock(&self.running);
        running.node.as_ref().map_or_else(|| running.knew.clone(), |(_, member)| named_by(member))
    }

    /// How the others know it, once they have heard where it is.
    pub fn peer(&self) -> Peer {
        let moves = self.moves.load(Ordering::SeqCst);
        let peer_address = match moves {
            0 => self.known_as.peer_address.clone(),
            _ => format!("{}.moved{moves}", self.known_as.peer_address),
        };
        Peer { peer_address, ..self.known_as.clone() }
    }

    /// When its node starts next, it is reached at another address.
    pub fn move_away(&self) {
        self.moves.fetch_add(1, Ordering::SeqCst);
    }

    /// How often its floor was told to move.
    pub fn floor_moves(&self) -> u32 {
        self.floor_moves.load(Ordering::SeqCst)
    }

    /// When its node starts next, its floor moves to another directory.
    pub fn move_floor(&self) {
        self.floor_moves.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether its node may stop itself in a cluster that has come to this feature level.
    pub(super) fn may_stop(&self, level: u32) -> bool {
        self.disk.is_hurt() || self.leaving.load(Ordering::SeqCst) || self.is_too_old(level)
    }
}

/// Who comes to a cluster.
pub(super) struct Newcomer {
    /// How the others are to know it.
    pub(super) peer: Peer,
    /// Whether it is to have a vote.
    pub(super) votes: bool,
    /// The nodes that it is told of.
    pub(super) introduced: Vec<(NodeId, Peer)>,
}

impl Newcomer {
    /// One that votes, and has nobody before it.
    pub(super) fn first(peer: Peer) -> Self {
        Self { peer, votes: true, introduced: Vec::new() }
    }
}

/// Whom the log of a node names.
pub(super) fn named_by(member: &Member) -> BTreeSet<NodeId> {
    member.status().members.into_keys().collect()
}
