//! The machine under openraft: applies entries, publishes views, builds and installs snapshots.
//!
//! Architecture invariant: a view is published before apply or install returns, and before anyone who waits
//! for an entry is answered. After an error or a panic in the machine nothing is applied or answered again:
//! openraft stops the node on the error returned here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt};
use openraft::alias::SnapshotOf;
use openraft::impls::EntryPayload;
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine, Snapshot};
use openraft::{AsyncRuntime, OptionalSend, RaftSnapshotBuilder};

use crate::blocking::{Blocking, unblock};
use crate::log_store::record::{Entry, LogId, Members, Meta};
use crate::machine::{Capture, Machine};
use crate::published::Board;
use crate::snapshot::SnapshotStore;
use crate::snapshot_file::SnapshotFile;
use crate::types::{Answer, Types};

/// Entries applied before their views are published and their proposers answered.
const PUBLISH_EVERY: usize = 256;

/// A [`Machine`] as openraft's state machine.
pub struct StateMachine<R, M: Machine> {
    /// In a mutex only because openraft asks for `Sync`; nobody else locks it.
    machine: Mutex<M>,
    applied: Option<LogId>,
    members: Members,
    board: Arc<Board<M::View>>,
    snapshots: SnapshotStore,
    blocking: Arc<dyn Blocking>,
    /// Why nothing is applied any more.
    broken: Option<String>,
    gaps_allowed: bool,
    runtime: PhantomData<fn() -> R>,
}

impl<R, M: Machine> StateMachine<R, M> {
    /// An empty machine; openraft installs the newest snapshot when it starts.
    #[must_use]
    pub fn new(board: Arc<Board<M::View>>, snapshots: SnapshotStore, blocking: Arc<dyn Blocking>) -> Self {
        Self {
            machine: Mutex::new(M::empty()),
            applied: None,
            members: Members::default(),
            board,
            snapshots,
            blocking,
            broken: None,
            gaps_allowed: false,
            runtime: PhantomData,
        }
    }

    /// Lets indexes jump, for openraft's storage test suite, which applies entries that no log could hold.
    #[doc(hidden)]
    #[must_use]
    pub fn allow_gaps(mut self) -> Self {
        self.gaps_allowed = true;
        self
    }

    fn machine(&mut self) -> &mut M {
        self.machine.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies one entry. An error, or a panic in the machine, is final.
    fn apply_one(&mut self, entry: &Entry) -> io::Result<Answer> {
        if let Some(reason) = &self.broken {
            return Err(io::Error::other(reason.clone()));
        }
        let result = self.check_order(entry.log_id).and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| drive(self.machine(), entry)))
                .unwrap_or_else(|panic| Err(format!("it panicked: {}", text_of(&*panic))))
        });
        match result {
            Ok(answer) => {
                if let EntryPayload::Membership(members) = &entry.payload {
                    self.members = Members::new(Some(entry.log_id), members.clone());
                }
                self.applied = Some(entry.log_id);
                Ok(answer)
            }
            Err(what) => {
                let reason = format!("entry {} can't be applied: {what}", entry.log_id.index());
                tracing::error!(index = entry.log_id.index(), %what, "entry can't be applied; this node stops");
                self.broken = Some(reason.clone());
                Err(io::Error::other(reason))
            }
        }
    }

    fn check_order(&self, next: LogId) -> Result<(), String> {
        let expected = self.applied.map_or(0, |applied| applied.index() + 1);
        if next.index() == expected || self.gaps_allowed {
            return Ok(());
        }
        Err(format!("entry {expected} should come next"))
    }

    fn publish(&mut self) {
        let index = self.applied.map_or(0, |applied| applied.index());
        let members = self.members.log_id().as_ref().map_or(0, LogId::index);
        let view = self.machine().view();
        self.board.publish(view, index, members);
    }

    fn meta(&self) -> Meta {
        Meta { last_log_id: self.applied, last_membership: self.members.clone() }
    }
}

/// Hands an entry to the machine.
pub(crate) fn drive<M: Machine>(machine: &mut M, entry: &Entry) -> Result<Answer, String> {
    let index = entry.log_id.index();
    match &entry.payload {
        EntryPayload::Blank => Ok(Answer::default()),
        EntryPayload::Normal(proposal) => {
            machine.apply(index, proposal.stamp_ms, &proposal.command).map(Answer)
        }
        EntryPayload::Membership(members) => {
            let peers: BTreeMap<_, _> = members.nodes().map(|(id, peer)| (*id, peer.clone())).collect();
            let voters: BTreeSet<_> = members.voter_ids().collect();
            machine.members(index, &peers, &voters);
            Ok(Answer::default())
        }
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl<R: AsyncRuntime, M: Machine> RaftStateMachine<Types<R>> for StateMachine<R, M> {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotWriter<R>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Members)> {
        Ok((self.applied, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<R>>>> + Unpin + OptionalSend,
    {
        let mut waiting: Vec<(ApplyResponder<Types<R>>, Answer)> = Vec::new();
        let mut unpublished = 0;
        let result = loop {
            let Some(next) = entries.next().await else { break Ok(()) };
            let applied = next.and_then(|(entry, responder)| Ok((self.apply_one(&entry)?, responder)));
            match applied {
                Ok((answer, responder)) => waiting.extend(responder.map(|responder| (responder, answer))),
                Err(error) => break Err(error),
            }
            unpublished += 1;
            if unpublished == PUBLISH_EVERY {
                self.publish();
                waiting.drain(..).for_each(|(responder, answer)| responder.send(answer));
                unpublished = 0;
            }
        };
        // What was applied before an error is decided all the same.
        if self.broken.is_none() {
            self.publish();
            waiting.drain(..).for_each(|(responder, answer)| responder.send(answer));
        }
        result
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotWriter<R> {
        let meta = self.meta();
        let capture = self.machine().capture();
        SnapshotWriter {
            meta,
            capture: Mutex::new(Some(capture)),
            snapshots: self.snapshots.clone(),
            blocking: Arc::clone(&self.blocking),
            runtime: PhantomData,
        }
    }

    async fn install_snapshot(&mut self, meta: &Meta, snapshot: SnapshotFile) -> io::Result<()> {
        let (snapshots, described) = (self.snapshots.clone(), meta.clone());
        let machine = unblock(&*self.blocking, "snapshot-install", move || {
            snapshots.install::<M>(&described, snapshot)
        });
        let machine = machine.await.inspect_err(|error| {
            tracing::error!(%error, "snapshot can't be installed; this node stops");
        })?;
        *self.machine() = machine;
        self.applied = meta.last_log_id;
        self.members = meta.last_membership.clone();
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOf<Types<R>, SnapshotFile>>> {
        let current = self.snapshots.current()?;
        Ok(current.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Writes one captured state, while the machine goes on.
pub struct SnapshotWriter<R> {
    meta: Meta,
    /// In a mutex only because openraft asks for `Sync`.
    capture: Mutex<Option<Capture>>,
    snapshots: SnapshotStore,
    blocking: Arc<dyn Blocking>,
    runtime: PhantomData<fn() -> R>,
}

impl<R: AsyncRuntime> RaftSnapshotBuilder<Types<R>> for SnapshotWriter<R> {
    type SnapshotData = SnapshotFile;

    /// A snapshot that can't be written, for want of room for instance, must not stop a node that has an older
    /// one: it is reported, and the older one is named in its place.
    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types<R>, SnapshotFile>> {
        let capture = self.capture.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let capture = capture.ok_or_else(|| io::Error::other("a snapshot builder builds once"))?;
        let (snapshots, meta) = (self.snapshots.clone(), self.meta.clone());
        let built = unblock(&*self.blocking, "snapshot-build", move || snapshots.build(&meta, capture)).await;
        match built {
            Ok(snapshot) => Ok(Snapshot { meta: self.meta.clone(), snapshot }),
            Err(error) => {
                let folder = self.snapshots.folder().place();
                let error =
                    io::Error::new(error.kind(), format!("no snapshot can be written in {folder}: {error}"));
                // Raft wants a snapshot now: without an older one to give it, the node stops, and says why. The disk
                // that takes no first snapshot will soon take no log.
                let Some((meta, snapshot)) = self.snapshots.current()? else { return Err(error) };
                tracing::error!(%error, "the log grows until one can be written");
                Ok(Snapshot { meta, snapshot })
            }
        }
    }
}
