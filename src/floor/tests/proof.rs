//! Files as nodes write them, and what whoever restores makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use circlet_authority::{
    Action, Actor, Bootstrap, Command, FloorFact, FloorRecord, NodeRecord, Outcome, Picture, PutMode,
    PutUser, SetConfig, Stamp, State, UserStatus,
};
use circlet_token::{UserName, read_certificate};

use super::super::file::{FloorFile, Trouble};
use super::super::keeping::{Keeper, Memory, Step};
use super::super::place::{Phase, Place};
use super::super::proof::{Against, Incomplete, Proof, prove};
use super::super::reading::{self, FloorRead, Unfit};
use super::super::storage::{RealStorage, Root};
use crate::certificates::{TokenKeyKind, token_issuer};
use crate::founded;

const NOW_MS: u64 = 1_700_000_000_000;
const ULID: &str = "00000000000000000000000own";

/// A cluster of three nodes, each with a floor.
struct Cluster {
    root: tempfile::TempDir,
    state: State,
    files: Vec<(FloorFile, State)>,
}

impl Cluster {
    fn new() -> Self {
        let pair = token_issuer(TokenKeyKind::EdDsa, &format!("jfrt@{ULID}"), NOW_MS).unwrap();
        let own = read_certificate(&pair.certificate).unwrap();
        let bootstrap = Bootstrap { feature_level: 3, ..founded::bootstrap(&format!("jfrt@{ULID}"), own) };
        let root = tempfile::tempdir().unwrap();
        let mut cluster = Self { root, state: State::new(), files: Vec::new() };
        cluster.apply(Action::Bootstrap(Box::new(bootstrap)));
        cluster.members(&[1, 2, 3]);
        cluster.require(true);
        for node in 1..=3 {
            let file = FloorFile::begin(&cluster.place(), node, &cluster.state).unwrap();
            cluster.files.push((file, cluster.state.clone()));
        }
        cluster
    }

    fn apply(&mut self, action: Action) {
        let command = Command { actor: Actor::Operator, action };
        let outcome = self.state.apply(self.state.index() + 1, Stamp { now_ms: NOW_MS }, &command);
        assert_eq!(outcome.refusal(), None);
        assert_ne!(outcome, Outcome::Purged { removed: 0, more: false });
    }

    fn members(&mut self, ids: &[u64]) {
        let members: BTreeMap<u64, NodeRecord> = ids.iter().map(|id| (*id, founded::node(*id))).collect();
        let voters: BTreeSet<u64> = ids.iter().copied().collect();
        self.state.set_members(self.state.index() + 1, &members, &voters);
    }

    fn require(&mut self, on: bool) {
        let mut config = self.state.config().as_ref().clone();
        config.set("revocation-floor.required", if on { "true" } else { "false" }).unwrap();
        self.apply(Action::SetConfig(Box::new(SetConfig { config, if_version: None })));
    }

    fn disable(&mut self, user: &str) {
        let mut put = PutUser::new(UserName::parse(user).unwrap(), PutMode::CreateOrUpdate);
        put.status = Some(UserStatus::Disabled);
        self.apply(Action::PutUser(Box::new(put)));
    }

    fn roots(&self) -> Vec<Root> {
        vec![Root::real(self.root.path())]
    }

    fn place(&self) -> Place {
        Place::new(&Root::real(self.root.path()), ULID, 1)
    }

    fn path(&self, node: u64) -> PathBuf {
        self.place().file(node, Phase::Open)
    }

    /// The node's floor learns what its view has.
    fn follow(&mut self, node: usize) -> Result<(), Trouble> {
        let (file, seen) = &mut self.files[node - 1];
        let facts: Vec<FloorFact> = self.state.floor_changes(seen).collect();
        let tokens_until = self.state.floor_tokens_until();
        file.append(&FloorRecord { index: self.state.index(), more: false, tokens_until, facts })?;
        *seen = self.state.clone();
        Ok(())
    }

    fn prove(&self, backup: &State) -> Result<Proof, Incomplete> {
        prove(&self.roots(), Against::Backup(backup))
    }

    /// What is missing, and that nothing has changed by asking.
    fn refused(&self, backup: &State) -> String {
        let error = self.prove(backup).unwrap_err().to_string();
        assert_eq!(self.place().phase().unwrap(), Some(Phase::Open), "{error}");
        error
    }
}

fn read(path: &Path) -> Result<FloorRead, Unfit> {
    reading::read(&RealStorage, path)
}

fn append_bytes(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn the_floor_that_ends_last_tells_what_was_refused() {
    let mut cluster = Cluster::new();
    let backup = cluster.state.archived();
    cluster.disable("early");
    for node in 1..=3 {
        cluster.follow(node).unwrap();
    }
    cluster.disable("late");
    cluster.follow(2).unwrap();
    let proof = cluster.prove(&backup).unwrap();
    assert_eq!((proof.nodes, proof.picture.index()), (3, cluster.state.index()));
    assert_eq!(proof.picture.head(), Picture::of(&cluster.state).head());
    assert_eq!(cluster.place().phase().unwrap(), Some(Phase::Sealed));
    // Broken off: the floors are there for the next attempt.
    drop(proof);
    assert_eq!(cluster.place().phase().unwrap(), Some(Phase::Open));
    cluster.place().turn(Phase::Open, Phase::Sealed).unwrap();
    let again = cluster.prove(&backup).unwrap();
    drop(again);
    assert_eq!(
        cluster.place().phase().unwrap(),
        Some(Phase::Sealed),
        "it was not this attempt that sealed them"
    );
    cluster.prove(&backup).unwrap().spend().unwrap();
    let error = cluster.prove(&backup).unwrap_err().to_string();
    assert!(error.contains("is spent: a later generation has begun from it"), "{error}");
}

#[test]
fn a_node_that_lives_on_acknowledges_nothing_once_the_floors_are_sealed() {
    let mut cluster = Cluster::new();
    let proof = cluster.prove(&cluster.state.archived()).unwrap();
    cluster.disable("late");
    let ended = cluster.follow(1).unwrap_err();
    assert!(matches!(ended, Trouble::Sealed(_)) && ended.is_final(), "{ended}");
    assert!(matches!(cluster.files[1].0.check(), Err(Trouble::Sealed(_))), "one that has nothing to write");
    // Nor does it begin another.
    let again = FloorFile::begin(&cluster.place(), 1, &cluster.state);
    assert!(matches!(again, Err(Trouble::Sealed(_))), "{again:?}");
    proof.spend().unwrap();
    let again = FloorFile::begin(&cluster.place(), 1, &cluster.state);
    assert!(matches!(again, Err(Trouble::Sealed(_))), "{again:?}");
}

#[test]
fn every_node_that_was_there_must_have_its_floor() {
    let mut cluster = Cluster::new();
    let backup = cluster.state.archived();
    let aside = cluster.root.path().join("aside");
    fs::rename(cluster.path(3), &aside).unwrap();
    assert_eq!(cluster.refused(&backup), "node node3 (id 3): its floor is not there");
    // One that was removed in time is not asked for.
    cluster.members(&[1, 2]);
    cluster.follow(1).unwrap();
    cluster.follow(2).unwrap();
    assert_eq!(cluster.prove(&backup).unwrap().nodes, 2);
    // One that joined is, as soon as anybody may have told it so.
    cluster.members(&[1, 2, 5]);
    cluster.follow(1).unwrap();
    assert_eq!(cluster.refused(&backup), "node node5 (id 5): its floor is not there");
}

#[test]
fn floors_on_storages_of_their_own_are_named_one_by_one() {
    let cluster = Cluster::new();
    let other = tempfile::tempdir_in(cluster.root.path().parent().unwrap()).unwrap();
    let place = Place::new(&Root::real(other.path()), ULID, 1);
    place.make().unwrap();
    fs::rename(cluster.path(2), place.file(2, Phase::Open)).unwrap();
    let backup = cluster.state.archived();
    assert_eq!(cluster.refused(&backup), "node node2 (id 2): its floor is not there");
    let both = [cluster.root.path(), other.path()].map(Root::real);
    let proof = prove(&both, Against::Backup(&backup)).unwrap();
    assert_eq!(place.phase().unwrap(), Some(Phase::Sealed));
    proof.spend().unwrap();
    assert_eq!(place.phase().unwrap(), Some(Phase::Spent));
}

#[test]
fn a_copy_is_no_floor() {
    let cluster = Cluster::new();
    let copy = cluster.root.path().join("copy");
    fs::copy(cluster.path(2), &copy).unwrap();
    fs::rename(&copy, cluster.path(2)).unwrap();
    let error = cluster.refused(&cluster.state.archived());
    assert!(error.starts_with("node node2 (id 2): ") && error.contains("it is a copy"), "{error}");
    // And the node notices that it is not the file that it writes.
    assert!(matches!(cluster.files[1].0.check(), Err(Trouble::Usurped(_))));
}

#[test]
fn what_was_never_acknowledged_may_be_torn() {
    let mut cluster = Cluster::new();
    let backup = cluster.state.archived();
    let before = fs::read(cluster.path(1)).unwrap();
    cluster.disable("late");
    let index = Picture::of(&cluster.state).index();
    cluster.follow(1).unwrap();
    let after = fs::read(cluster.path(1)).unwrap();
    assert_eq!(read(&cluster.path(1)).unwrap().picture.index(), index);
    for length in before.len()..after.len() {
        OpenOptions::new().write(true).open(cluster.path(1)).unwrap().set_len(length as u64).unwrap();
        let read = read(&cluster.path(1)).unwrap();
        assert_eq!((read.torn, read.picture.index()), (length > before.len(), index - 1), "{length}");
        assert!(cluster.prove(&backup).is_ok());
        append_bytes(&cluster.path(1), &after[length..]);
    }
    // A file system may make a file longer before it writes what is in it.
    for written in [before.len(), before.len() + 3, before.len() + 20] {
        let mut bytes = after[..written].to_vec();
        bytes.resize(after.len() + 100, 0);
        OpenOptions::new().write(true).open(cluster.path(1)).unwrap().write_all_at(&bytes, 0).unwrap();
        let read = read(&cluster.path(1));
        assert!(read.is_ok_and(|read| read.torn && read.picture.index() == index - 1), "{written}");
        OpenOptions::new().write(true).open(cluster.path(1)).unwrap().set_len(0).unwrap();
        append_bytes(&cluster.path(1), &after);
    }
}

#[test]
fn what_was_acknowledged_may_not_be_damaged() {
    let mut cluster = Cluster::new();
    let backup = cluster.state.archived();
    for user in ["one", "two"] {
        cluster.disable(user);
        cluster.follow(1).unwrap();
    }
    let whole = fs::read(cluster.path(1)).unwrap();
    for place in 0..whole.len() {
        let file = OpenOptions::new().write(true).open(cluster.path(1)).unwrap();
        file.write_all_at(&[whole[place] ^ 0x10], place as u64).unwrap();
        let read = read(&cluster.path(1));
        assert!(read.is_err(), "byte {place} of {}", whole.len());
        file.write_all_at(&[whole[place]], place as u64).unwrap();
    }
    assert!(read(&cluster.path(1)).is_ok());
    let file = OpenOptions::new().write(true).open(cluster.path(1)).unwrap();
    file.write_all_at(b"!", whole.len() as u64 / 2).unwrap();
    let error = cluster.refused(&backup);
    assert!(
        error.starts_with("node node1 (id 1): ") && error.contains("it is damaged behind record"),
        "{error}"
    );
}

#[test]
fn it_must_have_been_required_until_the_end() {
    let mut cluster = Cluster::new();
    let backup = cluster.state.archived();
    cluster.require(false);
    cluster.follow(2).unwrap();
    let error = cluster.refused(&backup);
    assert!(error.contains("revocation-floor.required was off when the floor ended"), "{error}");
    cluster.require(true);
    cluster.follow(3).unwrap();
    assert!(cluster.prove(&backup).is_ok());
}

#[test]
fn floors_of_another_time_or_another_cluster_are_refused() {
    let mut cluster = Cluster::new();
    cluster.disable("late");
    let error = cluster.refused(&cluster.state.archived());
    assert!(error.contains("these are not the files that the nodes wrote last"), "{error}");
    // What one node is left with may be later: some of it nobody has decided.
    assert!(prove(&cluster.roots(), Against::Remains(&cluster.state)).is_ok());
    let elsewhere = tempfile::tempdir().unwrap();
    let nothing = prove(&[Root::real(elsewhere.path())], Against::Backup(&cluster.state));
    assert!(matches!(nothing, Err(Incomplete::None { .. })), "{nothing:?}");
    fs::create_dir(cluster.root.path().join(format!("{ULID}.7"))).unwrap();
    let later = cluster.prove(&cluster.state.archived());
    assert!(matches!(later, Err(Incomplete::Later { generation: 7, .. })), "{later:?}");
}

#[test]
fn a_picture_begun_anew_holds_the_same_in_the_place_of_the_old_one() {
    let mut cluster = Cluster::new();
    let backup = cluster.state.archived();
    cluster.disable("early");
    cluster.follow(1).unwrap();
    let before = read(&cluster.path(1)).unwrap();
    let file = FloorFile::begin(&cluster.place(), 1, &cluster.state).unwrap();
    let after = read(&cluster.path(1)).unwrap();
    assert_eq!(after.picture.head(), before.picture.head());
    assert_ne!(after.header.inode, before.header.inode);
    assert!(matches!(cluster.files[0].0.check(), Err(Trouble::Usurped(_))), "two that write as one node");
    assert!(file.check().is_ok() && !file.is_outgrown());
    // What a crash left of another attempt is in nobody's way.
    fs::write(cluster.path(1).with_extension("floor.new"), "half").unwrap();
    assert!(cluster.prove(&backup).is_ok());
    assert!(FloorFile::begin(&cluster.place(), 1, &cluster.state).is_ok());
    // Half a picture is none.
    let whole = fs::read(cluster.path(1)).unwrap();
    OpenOptions::new().write(true).open(cluster.path(1)).unwrap().set_len(whole.len() as u64 / 2).unwrap();
    assert!(matches!(read(&cluster.path(1)), Err(Unfit::Unfinished)));
}

#[test]
fn a_floor_whose_folder_is_gone_is_not_begun_somewhere_else() {
    let cluster = Cluster::new();
    let nowhere = Place::new(&Root::real(&cluster.root.path().join("not mounted")), ULID, 1);
    let begun = FloorFile::begin(&nowhere, 1, &cluster.state);
    assert!(matches!(begun, Err(Trouble::Io { .. })), "{begun:?}");
    fs::remove_file(cluster.path(1)).unwrap();
    let gone = cluster.files[0].0.check().unwrap_err();
    assert!(!gone.is_final(), "{gone}");
}

/// The note of where a floor is.
struct Note(PathBuf);

impl Memory for Note {
    fn path(&self) -> PathBuf {
        self.0.clone()
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        if self.0.exists() { fs::read(&self.0).map(Some) } else { Ok(None) }
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        fs::write(&self.0, text)
    }

    fn forget(&self) -> io::Result<()> {
        fs::remove_file(&self.0)
    }
}

#[test]
fn a_move_that_failed_half_way_is_finished_once_the_new_place_is_there() {
    let cluster = Cluster::new();
    let (view, home) = (Arc::new(cluster.state.clone()), tempfile::tempdir().unwrap());
    let step_in = |dir: &Path| {
        let memory = Note(home.path().join("floor.json"));
        Keeper { node: 1, dir: Some(dir.to_owned()), storage: Arc::new(RealStorage), memory }
            .step(None, &view, 0)
    };
    assert!(matches!(step_in(cluster.root.path()), Step::Held { .. }));
    let elsewhere = cluster.root.path().join("not mounted yet");
    for _ in 0..2 {
        let Step::Failed(why) = step_in(&elsewhere) else { panic!("there is no such folder") };
        assert!(why.to_string().contains("not mounted yet"), "{why}");
    }
    fs::create_dir(&elsewhere).unwrap();
    assert!(matches!(step_in(&elsewhere), Step::Held { .. }));
    assert!(Place::new(&Root::real(&elsewhere), ULID, 1).file(1, Phase::Open).exists());
    assert!(!cluster.path(1).exists(), "no restore takes it for the node's floor");
}
