//! Snapshots and the machine on disk: two are kept, damaged ones skipped, and a machine that fails stops.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::ledger::Ledger;
use circlet_raft::damage::Damage;
use circlet_raft::snapshot::check_received;
use circlet_raft::state_machine::StateMachine;
use circlet_raft::storage::Storage;
use circlet_raft::{Proposal, Types};
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::impls::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine, StorageHelper};
use openraft::type_config::TypeConfigExt;
use openraft::{RaftSnapshotBuilder, StorageError};
use openraft_rt_tokio::TokioRuntime;

type Rt = Types<TokioRuntime>;
type Sm = StateMachine<TokioRuntime, Ledger>;
type Store = Storage<TokioRuntime, Ledger>;

fn id(term: u64, index: u64) -> LogIdOf<Rt> {
    LogIdOf::<Rt>::new_term_index(term, index)
}

/// An entry whose command tells its index.
fn line(index: u64) -> EntryOf<Rt> {
    entry(index, format!("line {index}").as_bytes())
}

fn entry(index: u64, command: &[u8]) -> EntryOf<Rt> {
    let proposal = Proposal { stamp_ms: index, command: command.to_vec() };
    EntryOf::<Rt>::new(id(1, index), EntryPayload::Normal(proposal))
}

/// The machine after the lines below `end`.
fn lines(end: u64) -> Vec<Vec<u8>> {
    (0..end).map(|index| format!("line {index}").into_bytes()).collect()
}

async fn append(store: &mut Store, index: u64) {
    let (sender, receiver) = Rt::oneshot();
    store.log.append([line(index)], IOFlushed::signal(sender)).await.unwrap();
    receiver.await.unwrap().unwrap();
}

/// Applies entries as openraft does.
async fn apply(machine: &mut Sm, entries: Vec<EntryOf<Rt>>) -> io::Result<()> {
    machine.apply(futures::stream::iter(entries.into_iter().map(|entry| Ok((entry, None))))).await
}

async fn take_snapshot(store: &mut Store) -> io::Result<()> {
    let mut builder = store.machine.try_create_snapshot_builder(true).await.unwrap();
    builder.build_snapshot().await.map(drop)
}

/// Ten entries in the log and applied; a snapshot after each from the fifth on; purged as far as allowed.
async fn ten_lines(data: &Path) -> Store {
    let mut store = Store::open(data).unwrap();
    store.log.save_vote(&VoteOf::<Rt>::new(1, 1)).await.unwrap();
    for index in 0..10 {
        append(&mut store, index).await;
        apply(&mut store.machine, vec![line(index)]).await.unwrap();
        if (4..9).contains(&index) {
            take_snapshot(&mut store).await.unwrap();
        }
    }
    store.log.save_committed(Some(id(1, 9))).await.unwrap();
    store.log.purge(id(1, 8)).await.unwrap();
    store
}

fn snapshot_files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(data.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// Brings the machine up to date as openraft does when it starts.
async fn recover(store: &mut Store) -> Result<(), StorageError<Rt>> {
    StorageHelper::new(&mut store.log, &mut store.machine).with_id(1).get_initial_state().await.map(drop)
}

#[tokio::test]
async fn two_snapshots_are_kept_and_the_log_reaches_back_to_the_older() {
    let data = tempfile::tempdir().unwrap();
    let store = ten_lines(data.path()).await;
    assert_eq!(snapshot_files(data.path()).len(), 2);
    assert_eq!((store.snapshots.purgeable_index(), store.snapshots.newest_index()), (Some(7), Some(8)));
    assert_eq!(store.log.purged_index(), Some(7));
    assert!(store.snapshots.newest_bytes() > 0);
}

#[tokio::test]
async fn a_restart_brings_back_the_snapshot_and_what_was_committed_after_it() {
    let data = tempfile::tempdir().unwrap();
    drop(ten_lines(data.path()).await);
    let mut store = Store::open(data.path()).unwrap();
    recover(&mut store).await.unwrap();
    let published = store.board.load();
    assert_eq!((published.index, &published.view.lines), (9, &lines(10)));
}

#[tokio::test]
async fn a_damaged_snapshot_is_skipped_for_the_older_one() {
    let data = tempfile::tempdir().unwrap();
    drop(ten_lines(data.path()).await);
    flip_a_byte(&snapshot_files(data.path())[1]);
    let mut store = Store::open(data.path()).unwrap();
    assert_eq!(store.snapshots.newest_index(), Some(7));
    recover(&mut store).await.unwrap();
    assert_eq!(store.board.load().view.lines, lines(10));
    let kept_aside = snapshot_files(data.path()).iter().any(|path| path.ends_with("snapshot.damaged"));
    assert!(kept_aside, "the damaged file stays for a look at it");
    // Only one is left, so nothing may be purged until there are two again.
    store.log.purge(id(1, 8)).await.unwrap();
    assert_eq!(store.log.purged_index(), Some(7));
}

#[tokio::test]
async fn with_every_snapshot_damaged_the_node_says_so_and_does_not_start() {
    let data = tempfile::tempdir().unwrap();
    drop(ten_lines(data.path()).await);
    for path in snapshot_files(data.path()) {
        flip_a_byte(&path);
    }
    let Err(error) = Store::open(data.path()) else { panic!("opened without a snapshot") };
    let damage = Damage::of(&error).unwrap();
    assert!(damage.file.ends_with("snapshots"), "{damage}");
    assert!(damage.to_string().contains("join again"), "{damage}");
}

#[tokio::test]
async fn leftovers_of_an_interrupted_snapshot_are_cleared() {
    let data = tempfile::tempdir().unwrap();
    drop(ten_lines(data.path()).await);
    fs::write(data.path().join("snapshots/incoming-1-0.part"), b"half").unwrap();
    Store::open(data.path()).unwrap();
    assert_eq!(snapshot_files(data.path()).len(), 2);
}

#[tokio::test]
async fn an_installed_snapshot_replaces_log_and_machine_and_is_published_at_once() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut leader = ten_lines(from.path()).await;
    let snapshot = leader.machine.get_current_snapshot().await.unwrap().unwrap();

    let mut follower = Store::open(to.path()).unwrap();
    follower.log.save_vote(&VoteOf::<Rt>::new(1, 1)).await.unwrap();
    append(&mut follower, 0).await;
    let (received, mut file) = follower.snapshots.incoming().unwrap();
    let bytes = io::copy(&mut fs::File::open(snapshot.snapshot.place()).unwrap(), &mut file).unwrap();
    let received = received.received(bytes);
    check_received(&received, &snapshot.meta).unwrap();
    follower.machine.install_snapshot(&snapshot.meta, received).await.unwrap();
    let published = follower.board.load();
    assert_eq!((published.index, &published.view.lines), (8, &lines(9)));
    follower.log.purge(id(1, 8)).await.unwrap();
    assert_eq!(follower.log.purged_index(), Some(8), "the whole log is replaced");
    drop(follower);

    let mut follower = Store::open(to.path()).unwrap();
    recover(&mut follower).await.unwrap();
    assert_eq!(follower.board.load().view.lines, lines(9));
}

#[tokio::test]
async fn a_snapshot_damaged_on_its_way_is_refused() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut leader = ten_lines(from.path()).await;
    let snapshot = leader.machine.get_current_snapshot().await.unwrap().unwrap();
    let follower = Store::open(to.path()).unwrap();
    let (received, _) = follower.snapshots.incoming().unwrap();
    let bytes = fs::copy(snapshot.snapshot.place(), received.place()).unwrap();
    flip_a_byte(Path::new(&received.place()));
    check_received(&received.received(bytes), &snapshot.meta).unwrap_err();
    assert_eq!(snapshot_files(to.path()).len(), 0, "what was refused is removed");
}

#[tokio::test]
async fn a_machine_that_fails_or_panics_applies_and_publishes_nothing_more() {
    for trouble in [&b"err"[..], b"panic"] {
        let data = tempfile::tempdir().unwrap();
        let mut store = Store::open(data.path()).unwrap();
        apply(&mut store.machine, vec![line(0)]).await.unwrap();
        let error = apply(&mut store.machine, vec![entry(1, trouble)]).await.unwrap_err();
        assert!(error.to_string().contains("asked to"), "{error}");
        assert!(error.to_string().contains("entry 1"), "{error}");
        apply(&mut store.machine, vec![line(1)]).await.unwrap_err();
        assert_eq!((store.board.load().index, &store.board.load().view.lines), (0, &lines(1)));
    }
}

#[tokio::test]
async fn a_gap_in_what_is_applied_stops_the_node() {
    let data = tempfile::tempdir().unwrap();
    let mut store = Store::open(data.path()).unwrap();
    let error = apply(&mut store.machine, vec![line(0), line(2)]).await.unwrap_err();
    assert!(error.to_string().contains("entry 1 should come next"), "{error}");
}

#[tokio::test]
async fn a_snapshot_that_can_not_be_written_leaves_the_older_one_in_charge() {
    let data = tempfile::tempdir().unwrap();
    let mut store = ten_lines(data.path()).await;
    let kept = snapshot_files(data.path());
    apply(&mut store.machine, vec![entry(10, b"unwritable")]).await.unwrap();
    take_snapshot(&mut store).await.unwrap();
    assert_eq!(store.snapshots.newest_index(), Some(8));
    assert_eq!(snapshot_files(data.path()), kept, "nothing half-written stays");

    let data = tempfile::tempdir().unwrap();
    let mut store = Store::open(data.path()).unwrap();
    apply(&mut store.machine, vec![entry(0, b"unwritable")]).await.unwrap();
    let error = take_snapshot(&mut store).await.unwrap_err();
    assert!(error.to_string().contains("no room"), "{error}");
}
