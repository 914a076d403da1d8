//! The store under Raft: openraft's own suite, and what happens to a store that was damaged.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use crate::ledger::Ledger;
use circlet_raft::blocking::Threads;
use circlet_raft::damage::Damage;
use circlet_raft::engine::{Batch, Engine, SledEngine, VALUE_BYTES_MAX};
use circlet_raft::log_store::{LogStore, PurgeBound};
use circlet_raft::snapshot::SnapshotStore;
use circlet_raft::state_machine::StateMachine;
use circlet_raft::storage::Storage;
use circlet_raft::{Board, Machine, Proposal, Types};
use futures::channel::oneshot;
use openraft::alias::{EntryOf, LogIdOf, VoteOf};
use openraft::entry::RaftEntry;
use openraft::impls::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{RaftLogReader, StorageError};
use openraft_rt_tokio::TokioRuntime;

type Rt = Types<TokioRuntime>;
type Log = LogStore<TokioRuntime>;
type Sm = StateMachine<TokioRuntime, Ledger>;
type Store = Storage<TokioRuntime, Ledger>;

struct OnDisk;

impl StoreBuilder<Rt, Log, Sm, tempfile::TempDir> for OnDisk {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Sm), StorageError<Rt>> {
        let folder = tempfile::tempdir().unwrap();
        let engine = SledEngine::open(&folder.path().join("raft")).unwrap();
        // The suite purges without snapshots and applies with gaps; a node does neither.
        let log = LogStore::open(Arc::new(engine), PurgeBound::none()).unwrap();
        let snapshots = SnapshotStore::open(&folder.path().join("snapshots"), PurgeBound::none()).unwrap();
        let board = Arc::new(Board::new(Ledger::empty().view(), 0));
        let machine = StateMachine::new(board, snapshots, Arc::new(Threads)).allow_gaps();
        Ok((folder, log, machine))
    }
}

#[tokio::test]
async fn openrafts_storage_suite_passes() {
    Suite::test_all(OnDisk).await.unwrap();
}

fn id(term: u64, index: u64) -> LogIdOf<Rt> {
    LogIdOf::<Rt>::new_term_index(term, index)
}

fn command(term: u64, index: u64, command: &[u8]) -> EntryOf<Rt> {
    let proposal = Proposal { stamp_ms: index, command: command.to_vec() };
    EntryOf::<Rt>::new(id(term, index), EntryPayload::Normal(proposal))
}

/// Appends and waits until it is durable.
async fn append(log: &mut Log, entries: Vec<EntryOf<Rt>>) -> io::Result<()> {
    let (sender, receiver) = Rt::oneshot();
    log.append(entries, IOFlushed::signal(sender)).await?;
    receiver.await.expect("the callback is always called")
}

/// A data folder with a log of ten entries and a vote.
async fn ten_entries(data: &Path) {
    let mut store = Store::open(data).unwrap();
    append(&mut store.log, (0..10).map(|index| command(1, index, b"line")).collect()).await.unwrap();
    store.log.save_vote(&VoteOf::<Rt>::new(3, 7)).await.unwrap();
}

/// Changes the stored bytes behind the log store's back.
fn tamper(data: &Path, change: impl FnOnce(&SledEngine, &mut Batch)) {
    let engine = SledEngine::open(&data.join("raft")).unwrap();
    let mut batch = Batch::default();
    change(&engine, &mut batch);
    let (sender, receiver) = mpsc::channel();
    engine.submit(batch, Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv().unwrap().unwrap();
}

/// All keys with their values.
fn records(engine: &SledEngine) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    engine
        .scan(&[0], &[0xff], &mut |key, value| {
            all.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        })
        .unwrap();
    all
}

/// The damage that opening reports; it must name the log's file and how to come back.
fn damage(data: &Path) -> Damage {
    let Err(error) = Store::open(data) else { panic!("a damaged store opened") };
    let damage = Damage::of(&error).unwrap_or_else(|| panic!("not called damage: {error}")).clone();
    assert!(damage.file.starts_with(&data.display().to_string()), "{damage}");
    assert!(damage.to_string().contains("join again"), "{damage}");
    damage
}

#[tokio::test]
async fn entries_and_vote_are_there_after_opening_again() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    let mut store = Store::open(data.path()).unwrap();
    let entries = store.log.try_get_log_entries(..).await.unwrap();
    assert_eq!(entries, (0..10).map(|index| command(1, index, b"line")).collect::<Vec<_>>());
    assert_eq!(store.log.read_vote().await.unwrap(), Some(VoteOf::<Rt>::new(3, 7)));
}

#[tokio::test]
async fn any_damaged_record_keeps_the_store_from_opening() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    let engine = SledEngine::open(&data.path().join("raft")).unwrap();
    let good = records(&engine);
    drop(engine);
    assert_eq!(good.len(), 12, "ten entries, vote and format");
    for (key, value) in &good {
        let zeros = vec![0; value.len()];
        let mut flipped = value.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for bad in [zeros, flipped, value[..value.len() - 1].to_vec(), Vec::new()] {
            tamper(data.path(), |_, batch| batch.put(key.clone(), bad));
            damage(data.path());
        }
        tamper(data.path(), |_, batch| batch.put(key.clone(), value.clone()));
    }
    Store::open(data.path()).unwrap();
}

#[tokio::test]
async fn a_missing_entry_is_damage() {
    for missing in [0, 4] {
        let data = tempfile::tempdir().unwrap();
        ten_entries(data.path()).await;
        tamper(data.path(), |engine, batch| batch.remove(records(engine)[missing].0.clone()));
        let what = damage(data.path()).what;
        assert!(what.contains(&format!("where {missing} should be")), "{what}");
    }
}

#[tokio::test]
async fn an_entry_under_another_index_is_damage() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    tamper(data.path(), |engine, batch| {
        let all = records(engine);
        batch.put(all[4].0.clone(), all[5].1.clone());
    });
    assert!(damage(data.path()).what.contains("checksum"));
}

#[tokio::test]
async fn a_log_that_ends_before_what_was_committed_is_damage() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    let mut store = Store::open(data.path()).unwrap();
    store.log.save_committed(Some(id(1, 9))).await.unwrap();
    drop(store);
    Store::open(data.path()).unwrap();
    tamper(data.path(), |engine, batch| batch.remove(records(engine)[9].0.clone()));
    assert!(damage(data.path()).what.contains("committed up to 9"));
}

#[tokio::test]
async fn a_log_that_lost_everything_is_damage() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    fs::remove_dir_all(data.path().join("raft")).unwrap();
    assert!(damage(data.path()).what.contains("empty"));
}

#[tokio::test]
async fn a_record_damaged_while_running_is_not_served() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    let engine = Arc::new(SledEngine::open(&data.path().join("raft")).unwrap());
    let mut log = Log::open(Arc::clone(&engine) as Arc<dyn Engine>, PurgeBound::none()).unwrap();
    // Enough for the first entries to leave memory.
    for round in 0..40_u64 {
        let entries = (0..16).map(|at| command(1, 10 + round * 16 + at, &vec![7; 60_000]));
        append(&mut log, entries.collect()).await.unwrap();
    }
    let (key, value) = records(&engine).swap_remove(5);
    let mut batch = Batch::default();
    batch.put(key, vec![0; value.len()]);
    let (sender, receiver) = oneshot::channel();
    engine.submit(batch, Box::new(move |result| drop(sender.send(result))));
    receiver.await.unwrap().unwrap();
    assert_eq!(log.try_get_log_entries(0..5).await.unwrap().len(), 5);
    let error = log.try_get_log_entries(3..8).await.unwrap_err();
    assert!(Damage::of(&error).is_some(), "{error}");
    assert_eq!(log.try_get_log_entries(6..660).await.unwrap().len(), 644);
}

#[tokio::test]
async fn concurrent_appends_share_their_fsync() {
    let data = tempfile::tempdir().unwrap();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&syncs);
    // However fast the disk is, the first sync lasts until everything has been appended.
    let (all_appended, slow_disk) = mpsc::channel::<()>();
    let engine = SledEngine::open_with(
        data.path(),
        Box::new(move |file| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = slow_disk.recv();
            file.sync_data()
        }),
    );
    let mut log = Log::open(Arc::new(engine.unwrap()), PurgeBound::none()).unwrap();
    let mut waiting = Vec::new();
    for index in 0..1_000 {
        let (sender, receiver) = Rt::oneshot();
        log.append([command(1, index, b"line")], IOFlushed::signal(sender)).await.unwrap();
        waiting.push(receiver);
        // Readable before it is durable.
        assert_eq!(log.try_get_log_entries(index..).await.unwrap().len(), 1);
    }
    drop(all_appended);
    for receiver in waiting {
        receiver.await.unwrap().unwrap();
    }
    let syncs = syncs.load(Ordering::SeqCst);
    assert!((1..50).contains(&syncs), "{syncs} fsyncs for 1000 appends");
}

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_acknowledged() {
    let data = tempfile::tempdir().unwrap();
    let syncs = AtomicUsize::new(0);
    let engine = SledEngine::open_with(
        data.path(),
        Box::new(move |file| match syncs.fetch_add(1, Ordering::SeqCst) {
            0 => file.sync_data(),
            _ => Err(io::Error::other("the disk is gone")),
        }),
    );
    let mut log = Log::open(Arc::new(engine.unwrap()), PurgeBound::none()).unwrap();
    append(&mut log, vec![command(1, 0, b"line")]).await.unwrap();
    append(&mut log, vec![command(1, 1, b"line")]).await.unwrap_err();
    append(&mut log, vec![command(1, 2, b"line")]).await.unwrap_err();
    log.save_vote(&VoteOf::<Rt>::new(3, 7)).await.unwrap_err();
    log.truncate_after(None).await.unwrap_err();
    log.purge(id(1, 0)).await.unwrap_err();
    assert!(log.failure().unwrap().contains("the disk is gone"));
}

#[tokio::test]
async fn purged_entries_leave_the_disk_along_with_later_appends() {
    let data = tempfile::tempdir().unwrap();
    let engine = Arc::new(SledEngine::open(data.path()).unwrap());
    let mut log = Log::open(Arc::clone(&engine) as Arc<dyn Engine>, PurgeBound::none()).unwrap();
    append(&mut log, (0..1_000).map(|index| command(1, index, b"line")).collect()).await.unwrap();
    log.purge(id(1, 899)).await.unwrap();
    let left = records(&engine).len();
    assert!(left > 800, "{left} records: one purge removed too many at once");
    for round in 0..90 {
        append(&mut log, vec![command(1, 1_000 + round, b"line")]).await.unwrap();
    }
    assert_eq!(records(&engine).len(), 100 + 90 + 2, "the live entries, the purged index, the format");
    drop(log);
    let mut log = Log::open(engine, PurgeBound::none()).unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_purged_log_id, Some(id(1, 899)));
    assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 190);
}

/// A log of ten entries, some of which are larger than the engine takes.
async fn large_entries(engine: &Arc<SledEngine>) -> (Log, Vec<EntryOf<Rt>>) {
    let mut log = Log::open(Arc::clone(engine) as Arc<dyn Engine>, PurgeBound::none()).unwrap();
    let length =
        |index: u64| usize::try_from(if index.is_multiple_of(3) { 65_536 - index } else { index }).unwrap();
    let entries: Vec<_> = (0..10).map(|index| command(1, index, &vec![7; length(index)])).collect();
    append(&mut log, entries.clone()).await.unwrap();
    (log, entries)
}

#[tokio::test]
async fn large_entries_come_back_whole_and_leave_nothing_behind() {
    let data = tempfile::tempdir().unwrap();
    let engine = Arc::new(SledEngine::open(data.path()).unwrap());
    let (log, entries) = large_entries(&engine).await;
    assert!(records(&engine).iter().all(|(_, value)| value.len() <= VALUE_BYTES_MAX));
    drop(log);
    let mut log = Log::open(Arc::clone(&engine) as Arc<dyn Engine>, PurgeBound::none()).unwrap();
    assert_eq!(log.try_get_log_entries(..).await.unwrap(), entries);
    log.truncate_after(Some(id(1, 4))).await.unwrap();
    assert!(records(&engine).len() < 4 * 11, "the parts of two large entries, and the small ones");
    append(&mut log, vec![command(2, 5, b"line"), command(2, 6, b"line")]).await.unwrap();
    log.purge(id(1, 4)).await.unwrap();
    assert_eq!(records(&engine).len(), 2 + 2, "the live entries, the purged index, the format");
    assert_eq!(log.try_get_log_entries(..).await.unwrap().len(), 2);
}

#[tokio::test]
async fn parts_of_purged_entries_are_removed_by_a_later_start_as_well() {
    let data = tempfile::tempdir().unwrap();
    let engine = Arc::new(SledEngine::open(data.path()).unwrap());
    let (mut log, _) = large_entries(&engine).await;
    append(&mut log, (10..200).map(|index| command(1, index, &vec![7; 13_000])).collect()).await.unwrap();
    log.purge(id(1, 189)).await.unwrap();
    drop(log);
    let mut log = Log::open(Arc::clone(&engine) as Arc<dyn Engine>, PurgeBound::none()).unwrap();
    for index in 200..220 {
        append(&mut log, vec![command(1, index, b"line")]).await.unwrap();
    }
    assert_eq!(records(&engine).len(), 10 * 3 + 20 + 2, "the live entries, the purged index, the format");
}

#[tokio::test]
async fn a_missing_part_of_an_entry_is_damage() {
    let data = tempfile::tempdir().unwrap();
    ten_entries(data.path()).await;
    let mut store = Store::open(data.path()).unwrap();
    append(&mut store.log, vec![command(1, 10, &[7; 20_000]), command(1, 11, b"line")]).await.unwrap();
    drop(store);
    for missing in 10..14 {
        let mut gone = None;
        tamper(data.path(), |engine, batch| {
            let (key, value) = records(engine).swap_remove(missing);
            batch.remove(key.clone());
            gone = Some((key, value));
        });
        let what = damage(data.path()).what;
        assert!(what.contains("entry 10"), "{what}");
        let (key, value) = gone.unwrap();
        tamper(data.path(), |_, batch| batch.put(key, value));
    }
    Store::open(data.path()).unwrap();
}
