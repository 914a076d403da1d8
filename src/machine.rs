//! The authority as the state machine of the log: bytes to commands, outcomes to bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Arc;

use circlet_authority::{Command, NodeRecord, NodeRole, Stamp, State};
use circlet_raft::{Capture, Machine, NodeId, Peer, Removal};

use crate::feature_level;

/// The authority's state, driven by the log.
#[derive(Debug, Default)]
pub struct Authority {
    state: State,
}

impl Authority {
    /// The machine in this state.
    #[must_use]
    pub fn of(state: State) -> Self {
        Self { state }
    }

    /// Its state.
    #[must_use]
    pub fn into_state(self) -> State {
        self.state
    }
}

impl Machine for Authority {
    type View = State;

    fn empty() -> Self {
        Self::default()
    }

    fn restore(snapshot: &mut dyn Read) -> Result<Self, String> {
        let state = State::decode_snapshot(snapshot).map_err(|error| error.to_string())?;
        feature_level::check(&state).map_err(|error| error.to_string())?;
        Ok(Self { state })
    }

    fn capture(&self) -> Capture {
        let state = self.state.clone();
        Box::new(move |out| state.encode_snapshot(out))
    }

    fn apply(&mut self, index: u64, stamp_ms: u64, command: &[u8]) -> Result<Vec<u8>, String> {
        let command = Command::decode(command).map_err(|error| error.to_string())?;
        let outcome = self.state.apply(index, Stamp { now_ms: stamp_ms }, &command);
        feature_level::check(&self.state).map_err(|error| error.to_string())?;
        Ok(outcome.encode())
    }

    fn members(&mut self, index: u64, peers: &BTreeMap<NodeId, Peer>, voters: &BTreeSet<NodeId>) {
        let members = peers.iter().map(|(id, peer)| (*id, record(*id, peer))).collect();
        self.state.set_members(index, &members, voters);
    }

    fn view(&self) -> Arc<State> {
        Arc::new(self.state.clone())
    }

    fn dry_run(view: &State, stamp_ms: u64, command: &[u8]) -> Result<(), String> {
        let command = Command::decode(command).map_err(|error| error.to_string())?;
        let mut copy = view.clone();
        copy.apply(view.index().saturating_add(1), Stamp { now_ms: stamp_ms }, &command);
        feature_level::check(&copy).map_err(|error| error.to_string())
    }

    fn feature_level(view: &State) -> u32 {
        view.feature_level()
    }

    fn now_ms(view: &State) -> u64 {
        view.now_ms()
    }

    fn admitted(view: &State) -> Vec<(NodeId, Peer)> {
        let waiting = view.nodes().filter(|node| node.role == NodeRole::Admitted);
        waiting.map(|node| (node.record.id, peer(&node.record))).collect()
    }

    fn may_vote(view: &State, id: NodeId) -> bool {
        view.node(id).is_none_or(|node| node.votes)
    }

    fn removed(view: &State, id: NodeId) -> Option<Removal> {
        let removed = view.removed_node(id)?;
        Some(Removal { index: removed.index, public_key: removed.record.public_key })
    }

    fn digest(view: &State) -> [u8; 32] {
        view.digest()
    }
}

/// A node as the membership records it.
#[must_use]
pub fn peer(record: &NodeRecord) -> Peer {
    Peer {
        name: record.name.clone(),
        peer_address: record.peer_address.clone(),
        client_url: record.client_url.clone(),
        public_key: record.public_key,
    }
}

/// A member as the authority records it.
#[must_use]
pub fn record(id: NodeId, peer: &Peer) -> NodeRecord {
    NodeRecord {
        id,
        name: peer.name.clone(),
        peer_address: peer.peer_address.clone(),
        client_url: peer.client_url.clone(),
        public_key: peer.public_key,
    }
}
