//! A data folder that no node has open: what it holds, and a new one that begins with a given state.
//!
//! For what is done to a cluster from outside of it: a backup that is restored, a majority that is gone for good.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, mpsc};

use openraft::Membership;
use openraft::impls::EntryPayload;
use openraft_rt_tokio::TokioRuntime;

use crate::damage::Damage;
use crate::engine::{Batch, Engine, SledEngine};
use crate::log_store::record::{COMMITTED, LeaderId, LogId, Members, Meta, PURGED, Term, VOTE, Vote, encode};
use crate::log_store::{LogStore, PurgeBound};
use crate::machine::{Capture, Machine};
use crate::snapshot::SnapshotStore;
use crate::state_machine::drive;
use crate::storage::{LOG, SNAPSHOTS, check_reach, mark_made};
use crate::types::{NodeId, Peer};

/// Entries read at once.
const STEP: u64 = 1_024;
/// The term in which a log begins that is not empty: an election makes the next one.
const FIRST_TERM: u64 = 1;

/// What a data folder holds.
pub struct Held<M> {
    /// The machine after every entry of the log, also those of which the node had not heard that they were decided: an
    /// acknowledged one may be among them.
    pub machine: M,
    /// The index of the last entry.
    pub last: u64,
    /// The index of the last entry of which the node knew that it was decided.
    pub decided: u64,
    /// The members, by the last entry that says so.
    pub peers: BTreeMap<NodeId, Peer>,
    /// Those of them who vote.
    pub voters: BTreeSet<NodeId>,
}

/// Reads all that a data folder holds. Blocks; nobody else may have it open.
///
/// # Errors
/// [`Damage`] inside the error when what is there can't be believed, or the machine can't apply it.
pub fn read<M: Machine>(data: &Path) -> io::Result<Held<M>> {
    if !data.join(LOG).exists() {
        return Err(Damage::new(data.join(LOG).display().to_string(), "there is no log").into());
    }
    let engine = SledEngine::open(&data.join(LOG))?;
    let snapshots = SnapshotStore::open(&data.join(SNAPSHOTS), PurgeBound::none())?;
    read_from(Arc::new(engine), &snapshots)
}

/// As [`read`], of a log and snapshots that are open.
///
/// # Errors
/// As [`read`] does.
pub fn read_from<M: Machine>(engine: Arc<dyn Engine>, snapshots: &SnapshotStore) -> io::Result<Held<M>> {
    let file = engine.file();
    let log = LogStore::<TokioRuntime>::open(engine, PurgeBound::none())?;
    check_reach(&log, snapshots)?;
    let (mut machine, mut last, mut members) = match snapshots.newest::<M>()? {
        Some((meta, machine)) => {
            let last = meta.last_log_id.map(|last| last.index());
            (machine, last, meta.last_membership.membership().clone())
        }
        None => (M::empty(), None, Membership::default()),
    };
    loop {
        let next = last.map_or(0, |last| last + 1);
        let entries = log.read(next, next.saturating_add(STEP))?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let index = entry.log_id.index();
            let expected = last.map_or(0, |last| last + 1);
            if index != expected {
                return Err(Damage::new(file, format!("entry {index} where {expected} should be")).into());
            }
            catch_unwind(AssertUnwindSafe(|| drive(&mut machine, &entry)))
                .unwrap_or_else(|_| Err("it panicked".to_owned()))
                .map_err(|what| io::Error::other(format!("entry {index} can't be applied: {what}")))?;
            if let EntryPayload::Membership(found) = entry.payload {
                members = found;
            }
            last = Some(index);
        }
    }
    let last = last.ok_or_else(|| Damage::new(file, "the log holds nothing"))?;
    Ok(Held {
        machine,
        last,
        decided: log.committed_index().unwrap_or(0).min(last),
        peers: members.nodes().map(|(id, peer)| (*id, peer.clone())).collect(),
        voters: members.voter_ids().collect(),
    })
}

/// Makes a data folder in which everything up to `index` is a snapshot of what `capture` writes, and whose only member
/// is this node. Blocks; there must be no data yet.
///
/// # Errors
/// The file system's own, or there is data.
pub fn begin(data: &Path, index: u64, member: (NodeId, Peer), capture: Capture) -> io::Result<()> {
    if data.join(LOG).exists() || data.join(SNAPSHOTS).exists() {
        let what = format!("{} holds data", data.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
    }
    fs::create_dir_all(data)?;
    let snapshots = SnapshotStore::open(&data.join(SNAPSHOTS), PurgeBound::none())?;
    let batch = begin_in(&snapshots, index, member, capture)?;
    let engine = SledEngine::open(&data.join(LOG))?;
    mark_made(data, &engine)?;
    let (sender, receiver) = mpsc::channel();
    engine.submit(batch, Box::new(move |result| drop(sender.send(result))));
    receiver.recv().unwrap_or_else(|_| Err(io::Error::other("the log's engine has stopped")))?;
    drop(engine);
    File::open(data)?.sync_all()
}

/// The first half of [`begin`]: the snapshot, before the log, since a log that begins after what nothing holds is damage.
/// Returns what an empty log is to begin with.
///
/// # Errors
/// The folder's own.
pub fn begin_in(
    snapshots: &SnapshotStore,
    index: u64,
    member: (NodeId, Peer),
    capture: Capture,
) -> io::Result<Batch> {
    let at = LogId::new(Term::new(FIRST_TERM), index);
    let (id, peer) = member;
    let members = Membership::new(vec![BTreeSet::from([id])], BTreeMap::from([(id, peer)]));
    let members = members.map_err(io::Error::other)?;
    let meta = Meta { last_log_id: Some(at), last_membership: Members::new(Some(at), members) };
    snapshots.build(&meta, capture)?;
    let vote = Vote { leader_id: LeaderId { term: FIRST_TERM, voted_for: id }, committed: false };
    let mut batch = Batch::default();
    batch.put(VOTE, encode(VOTE, &vote));
    batch.put(PURGED, encode(PURGED, &at));
    batch.put(COMMITTED, encode(COMMITTED, &at));
    Ok(batch)
}
