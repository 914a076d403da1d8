//! A machine that remembers every command it was given; what the storage tests replicate.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;

use circlet_raft::{Capture, Machine, NodeId, Peer, Removal};

/// The commands so far, and the members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) voters: BTreeSet<NodeId>,
}

impl Machine for Ledger {
    type View = Self;

    fn empty() -> Self {
        Self::default()
    }

    fn restore(snapshot: &mut dyn Read) -> Result<Self, String> {
        let mut text = String::new();
        snapshot.read_to_string(&mut text).map_err(|error| error.to_string())?;
        let mut rows = text.lines();
        let voters = rows.next().ok_or("no voters")?;
        let voters = voters.split_whitespace().map(|id| id.parse().map_err(|_| "not an id".to_owned()));
        Ok(Self {
            voters: voters.collect::<Result<_, String>>()?,
            lines: rows.map(|row| row.as_bytes().to_vec()).collect(),
        })
    }

    fn capture(&self) -> Capture {
        let ledger = self.clone();
        Box::new(move |into: &mut dyn Write| -> io::Result<()> {
            let voters: Vec<_> = ledger.voters.iter().map(ToString::to_string).collect();
            writeln!(into, "{}", voters.join(" "))?;
            ledger.lines.iter().try_for_each(|line| {
                if line == b"unwritable" {
                    return Err(io::Error::other("no room"));
                }
                into.write_all(line)?;
                into.write_all(b"\n")
            })
        })
    }

    fn apply(&mut self, index: u64, _stamp_ms: u64, command: &[u8]) -> Result<Vec<u8>, String> {
        match command {
            b"err" => return Err("asked to fail".into()),
            b"panic" => panic!("asked to panic"),
            line => self.lines.push(line.to_vec()),
        }
        Ok(index.to_string().into_bytes())
    }

    fn members(&mut self, _: u64, _: &BTreeMap<NodeId, Peer>, voters: &BTreeSet<NodeId>) {
        self.voters.clone_from(voters);
    }

    fn view(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    fn dry_run(_: &Self, _: u64, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn now_ms(_: &Self) -> u64 {
        0
    }

    fn admitted(_: &Self) -> Vec<(NodeId, Peer)> {
        Vec::new()
    }

    fn may_vote(_: &Self, _: NodeId) -> bool {
        true
    }

    fn removed(_: &Self, _: NodeId) -> Option<Removal> {
        None
    }

    fn digest(_: &Self) -> [u8; 32] {
        [0; 32]
    }
}
