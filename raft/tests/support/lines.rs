//! A tiny machine: a map of text lines, each remembered with the index that added it.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::Arc;

use circlet_raft::{Capture, Machine, NodeId, Peer, Removal};

/// The lines, where they came, and the time of the last.
#[derive(Clone, Default)]
#[allow(clippy::struct_field_names, reason = "lines are what it is about")]
pub(crate) struct Lines {
    pub(crate) lines: imbl::OrdMap<String, u64>,
    pub(crate) now_ms: u64,
    /// Who has been a member, and who is not any more; not in snapshots.
    once_members: imbl::OrdMap<NodeId, [u8; 32]>,
    removed: imbl::OrdMap<NodeId, Removal>,
}

/// A line that admits a node, which waits from then on until it has been a member.
pub(crate) const ADMIT: &str = "admit ";

/// A line that only fails when it is applied, not when it is tried.
pub(crate) const BOMB: &str = "bomb";
/// A line that is refused.
pub(crate) const NONSENSE: &str = "nonsense";

impl Machine for Lines {
    type View = Self;

    fn empty() -> Self {
        Self::default()
    }

    fn restore(snapshot: &mut dyn Read) -> Result<Self, String> {
        let mut text = String::new();
        snapshot.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let mut lines = text.lines();
        let now_ms = lines.next().and_then(|now| now.parse().ok()).ok_or("no time")?;
        let pair = |line: &str| -> Option<(String, u64)> {
            let (index, line) = line.split_once(' ')?;
            Some((line.to_owned(), index.parse().ok()?))
        };
        let lines = lines.map(pair).collect::<Option<_>>().ok_or("no index")?;
        Ok(Self { lines, now_ms, ..Self::default() })
    }

    fn capture(&self) -> Capture {
        let Self { lines, now_ms, .. } = self.clone();
        Box::new(move |writer: &mut dyn Write| {
            writeln!(writer, "{now_ms}")?;
            lines.iter().try_for_each(|(line, index)| writeln!(writer, "{index} {line}"))
        })
    }

    fn apply(&mut self, index: u64, stamp_ms: u64, command: &[u8]) -> Result<Vec<u8>, String> {
        let line = String::from_utf8(command.to_vec()).map_err(|error| error.to_string())?;
        if line == BOMB {
            return Err("a bomb".to_owned());
        }
        self.now_ms = self.now_ms.max(stamp_ms);
        let first = *self.lines.entry(line).or_insert(index);
        Ok(first.to_be_bytes().to_vec())
    }

    fn members(&mut self, index: u64, members: &BTreeMap<NodeId, Peer>, _: &BTreeSet<NodeId>) {
        self.once_members.extend(members.iter().map(|(id, peer)| (*id, peer.public_key)));
        for (id, public_key) in self.once_members.iter().filter(|(id, _)| !members.contains_key(id)) {
            self.removed.entry(*id).or_insert(Removal { index, public_key: *public_key });
        }
    }

    fn view(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    fn dry_run(_: &Self, _: u64, command: &[u8]) -> Result<(), String> {
        if command == NONSENSE.as_bytes() { Err("nonsense".to_owned()) } else { Ok(()) }
    }

    fn now_ms(view: &Self) -> u64 {
        view.now_ms
    }

    fn admitted(view: &Self) -> Vec<(NodeId, Peer)> {
        let peer = |id| Peer {
            name: format!("node-{id}"),
            peer_address: "127.0.0.1:1".to_owned(),
            client_url: "http://127.0.0.1:1".to_owned(),
            public_key: [0; 32],
        };
        let ids = view.lines.keys().filter_map(|line| line.strip_prefix(ADMIT)?.parse().ok());
        ids.filter(|id| !view.once_members.contains_key(id)).map(|id| (id, peer(id))).collect()
    }

    fn may_vote(_: &Self, _: NodeId) -> bool {
        true
    }

    fn removed(view: &Self, id: NodeId) -> Option<Removal> {
        view.removed.get(&id).copied()
    }

    fn digest(view: &Self) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        for (line, index) in &view.lines {
            hash.update(line.as_bytes());
            hash.update(index.to_be_bytes());
        }
        hash.finalize().into()
    }
}
