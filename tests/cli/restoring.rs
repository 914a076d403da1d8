//! Backups, what is restored from them, and a cluster whose majority is gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use circlet::backup::{Opening, open};
use circlet::secret::Secret;
use circlet_authority::SealedKind;
use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, Node, Place, circlet, eventually, run, run_command};
use super::{founded, root};

const PASSPHRASE: &str = "correct horse battery staple";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn passphrase_in(root: &TempDir, name: &str, passphrase: &str) -> PathBuf {
    let file = root.path().join(name);
    fs::write(&file, format!("{passphrase}\n")).expect("the folder can be written");
    file
}

/// A token that never expires and can be refreshed.
fn token(node: &Node, password: &str) -> Value {
    node.ask(password, &["token", "create", "--expiry", "0", "--refreshable"]).json()
}

fn access(token: &Value) -> &str {
    token["access_token"].as_str().expect("an access token")
}

fn status(node: &Node, token: &Value) -> u16 {
    eventually("a verdict", || {
        let (status, _) = node.get_with_token("/circlet/v1/verify", access(token));
        (status != 503).then_some(status)
    })
}

fn refresh(node: &Node, token: &Value, root: &TempDir) -> process::Ended {
    let pair = root.path().join("pair.json");
    fs::write(&pair, token.to_string()).expect("the folder can be written");
    let mut command = circlet();
    command.args(["token", "refresh", "--pair", text(&pair), "--url", &node.url()]);
    run_command(&mut command)
}

fn revoke(node: &Node, password: &str, token: &Value) {
    let id = token["token_id"].as_str().expect("an id");
    node.ask(password, &["token", "revoke", id]).json();
}

fn users(node: &Node, password: &str) -> Vec<String> {
    let list = node.ask(password, &["user", "list"]).json();
    let names = list["users"].as_array().expect("a list").iter();
    names.map(|user| user["username"].as_str().expect("a name").to_owned()).collect()
}

/// Says that something has ended, however it did.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// So many make users at a time.
const WRITERS: usize = 3;
/// So many has each of them made before the work begins: one alone would be no order that a backup could break.
const BEFORE_MIN: usize = 4;

/// What was acknowledged to one writer of a load while some work was done.
#[derive(Debug, Default)]
struct Acknowledged {
    /// The users, in this order.
    users: Vec<String>,
    /// How many of them before the work began.
    before: usize,
}

/// Makes users until it is told to stop, as a load of writes, while `work` runs; it begins once some of them are there, and
/// the load goes on after it until each writer has begun and made another one.
fn under_load<T>(node: &Node, password: &str, work: impl FnOnce() -> T) -> (T, Vec<Acknowledged>) {
    let done = AtomicBool::new(false);
    let writers = [const { Mutex::new(Vec::new()) }; WRITERS];
    let counts = || writers.each_ref().map(|users| users.lock().expect("no panic while held").len());
    let until_more = |than: [usize; WRITERS], by| {
        eventually("users are acknowledged", || {
            let enough = counts().iter().zip(than).all(|(count, than)| *count >= than + by);
            enough.then_some(())
        });
    };
    let (result, before) = std::thread::scope(|scope| {
        for (first, users) in writers.iter().enumerate() {
            let done = &done;
            scope.spawn(move || {
                for number in (first..).step_by(WRITERS) {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("load-{number}");
                    node.ask(password, &["user", "create", &name, "--email", "l@example.org"]).json();
                    users.lock().expect("no panic while held").push(name);
                }
            });
        }
        // Also if the work fails: a load without end would hide that.
        let _ended = Ended(&done);
        until_more([0; WRITERS], BEFORE_MIN);
        let before = counts();
        let result = work();
        // The first of them may have been under way already.
        until_more(counts(), 2);
        (result, before)
    });
    let users = writers.map(|users| users.into_inner().expect("no panic while held"));
    let made = users.into_iter().zip(before).map(|(users, before)| Acknowledged { users, before });
    (result, made.collect())
}

/// A backup is the state of one moment while it was made: of each writer the users made up to then, and no later ones.
fn assert_holds_one_moment(restored: &[String], made: &[Acknowledged]) {
    for made in made {
        let held = made.users.iter().take_while(|name| restored.contains(name)).count();
        let (held, later) = made.users.split_at(held);
        assert!(held.len() >= made.before, "{} of {} are lost: {restored:?}", held.len(), made.before);
        assert!(!later.is_empty(), "what came after the backup is not in it: {restored:?}");
        assert!(later.iter().all(|name| !restored.contains(name)), "{held:?}, not {later:?}: {restored:?}");
    }
}

/// Everything of before is refused: whenever it was revoked, if at all.
fn assert_nothing_lives_on(node: &Node, tokens: &[&Value], root: &TempDir) {
    for token in tokens {
        assert_eq!(status(node, token), 401, "{token}");
        let ended = refresh(node, token, root);
        assert!(ended.code != Some(0), "{}", ended.stdout);
    }
}

#[test]
fn a_cluster_is_restored_from_a_backup_that_was_made_under_load() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let node = place.serve();
    node.ask(&password, &["group", "create", "readers"]).json();
    node.ask(&password, &["user", "create", "alice", "--email", "a@example.org", "--groups", "readers"])
        .json();
    let (revoked, kept) = (token(&node, &password), token(&node, &password));
    revoke(&node, &password, &revoked);
    let join = node.ask(&password, &["cluster", "token"]).json();
    let backup = root.path().join("backup");
    let secret = passphrase_in(&root, "passphrase", PASSPHRASE);
    let order = ["backup", "--out", text(&backup), "--passphrase-file", text(&secret)];
    let (written, made) = under_load(&node, &password, || node.ask(&password, &order).json());
    assert_eq!(written["sealed"], "sealed under a passphrase");
    node.ask(&password, &order).assert_refused(&["is there already"]);
    let under_key = root.path().join("under-key");
    node.ask(&password, &["backup", "--out", text(&under_key)]).json();
    // What happens after the backup is lost, and must not bring anything to life.
    let late = token(&node, &password);
    revoke(&node, &password, &kept);
    let restored = Place::new(root.path(), "restored");
    let restore = |named: &[&str]| {
        let file = text(&backup);
        restored.found(&[&["restore", file, "--passphrase-file", text(&secret)], named].concat())
    };
    restore(&["--replace"]).assert_refused(&["still lives", "node1 at http", "hint: stop its nodes"]);
    drop(node);
    let done = restore(&["--replace"]).json();
    assert_eq!((&done["replaces"], &done["earlier_tokens"]), (&true.into(), &"refused".into()));
    assert_eq!(done["service_id"], written["service_id"]);
    assert!(done["generation"].as_u64() > written["generation"].as_u64());
    restore(&["--replace"]).assert_refused(&["already is the home of node"]);

    let node = restored.serve();
    assert_nothing_lives_on(&node, &[&revoked, &kept, &late], &root);
    let late_node = Place::new(root.path(), "late");
    let refused = late_node.found(&["join", "--token", join["token"].as_str().expect("a token")]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    let restored_users = users(&node, &password);
    assert!(restored_users.contains(&"alice".to_owned()));
    assert_holds_one_moment(&restored_users, &made);
    let groups = node.ask(&password, &["group", "list"]).json();
    assert!(groups.to_string().contains("readers"), "{groups}");
    let list = node.ask(&password, &["token", "list"]).json();
    assert_eq!(list["tokens"].as_array().map(Vec::len), Some(0), "{list}");
    let fresh = token(&node, &password);
    assert_eq!(status(&node, &fresh), 200);
    // It goes on like any cluster: it comes back after a stop, and another node joins.
    assert_eq!(node.terminate().code(), Some(0));
    let node = restored.serve();
    assert_eq!(status(&node, &fresh), 200);
    let join = node.ask(&password, &["cluster", "token"]).json();
    let second = Place::new(root.path(), "second");
    second.found(&["join", "--token", join["token"].as_str().expect("a token")]).json();
    let second = second.serve();
    assert_eq!(status(&second, &fresh), 200);
    assert!(users(&second, &password).contains(&"alice".to_owned()));

    // Beside the cluster that lives now, the other backup becomes another one.
    let key = place.path("etc/security/master.key");
    let beside = Place::new(root.path(), "beside");
    let order = ["restore", text(&under_key), "--service-id", "new", "--master-key-file", text(&key)];
    let done = beside.found(&order).json();
    assert_eq!(done["replaces"], false);
    assert_ne!(done["service_id"], written["service_id"]);
    let node = beside.serve();
    assert_nothing_lives_on(&node, &[&fresh, &late], &root);
    assert_eq!(status(&node, &token(&node, &password)), 200);
}

#[test]
fn what_is_no_good_backup_is_named_and_leaves_nothing_behind() {
    let root = root();
    let (place, password) = founded(&root, "node1");
    let node = place.serve();
    let backup = root.path().join("backup");
    let secret = passphrase_in(&root, "passphrase", PASSPHRASE);
    token(&node, &password);
    node.ask(&password, &["backup", "--out", text(&backup), "--passphrase-file", text(&secret)]).json();
    let short = passphrase_in(&root, "short", "too short");
    let refused = node.ask(
        &password,
        &["backup", "--out", text(&root.path().join("x")), "--passphrase-file", text(&short)],
    );
    refused.assert_refused(&["a passphrase has at least 12 characters"]);
    drop(node);
    let bytes = fs::read(&backup).expect("a backup");
    // Keys, hashes of passwords and names are sealed.
    for clear in ["argon2id$v", "admin@example.org", "PRIVATE KEY"] {
        assert!(!bytes.windows(clear.len()).any(|window| window == clear.as_bytes()), "{clear}");
    }
    let opening = Opening::Passphrase(Secret::from(PASSPHRASE.to_owned()));
    let state =
        open(&mut fs::File::open(&backup).expect("a backup"), &opening).expect("its passphrase").state;
    assert_eq!((state.token_count(), state.users().count()), (0, 1));
    assert!(state.keyring().all(|key| key.private_key.is_none()), "a backup holds no key");
    for kind in [SealedKind::ClusterCa, SealedKind::RefreshSecret] {
        assert!(state.sealed(&kind).is_none_or(|sealed| sealed.ciphertext.is_empty()), "{kind:?}");
    }
    let variant = |name: &str, bytes: &[u8]| {
        let file = root.path().join(name);
        fs::write(&file, bytes).expect("the folder can be written");
        file
    };
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let mut newer = bytes.clone();
    newer[14] = 9;
    let wrong = passphrase_in(&root, "wrong", "wrong horse battery staple");
    let target = Place::new(root.path(), "target");
    let key = place.path("etc/security/master.key");
    for (file, flag, with, said) in [
        (variant("damaged", &damaged), "--passphrase-file", &secret, "its checksum is wrong"),
        (variant("cut", &bytes[..middle]), "--passphrase-file", &secret, "damaged or cut off"),
        (variant("newer", &newer), "--passphrase-file", &secret, "a backup of version 9"),
        (variant("other", b"nothing"), "--passphrase-file", &secret, "not a backup of circlet"),
        (backup.clone(), "--passphrase-file", &wrong, "the passphrase is not the one"),
        (backup.clone(), "--master-key-file", &key, "it is sealed under a passphrase"),
        (root.path().join("nowhere"), "--passphrase-file", &secret, "can't read the backup"),
    ] {
        let order = ["restore", text(&file), "--replace", flag, text(with)];
        target.found(&order).assert_refused(&[said]);
        assert!(!target.home.exists(), "{said}");
    }
    let check = ["restore", text(&backup), "--check", "--passphrase-file", text(&secret)];
    assert!(run(&check).stdout.contains("a whole backup of cluster"));
    // A home in which somebody lives is left as it is.
    let order =
        ["--output", "json", "restore", text(&backup), "--replace", "--passphrase-file", text(&secret)];
    let taken = run(&[&order[..], &["--home", text(&place.home)]].concat());
    taken.assert_refused(&["already is the home of node 1"]);
    assert_eq!(place.serve().ask(&password, &["cluster", "status"]).json()["generation"], 1);
}

#[test]
fn one_node_of_three_recovers_and_the_others_come_back_as_strangers() {
    let root = root();
    let (first, password) = founded(&root, "node1");
    let places = [first, Place::new(root.path(), "node2"), Place::new(root.path(), "node3")];
    let mut nodes = vec![places[0].serve()];
    for place in &places[1..] {
        let join = nodes[0].ask(&password, &["cluster", "token"]).json();
        place.found(&["join", "--token", join["token"].as_str().expect("a token")]).json();
        nodes.push(place.serve());
    }
    let voters = |node: &Node| {
        let status = node.ask(&password, &["cluster", "status"]).json();
        let nodes = status["nodes"].as_array().expect("nodes").clone();
        nodes.iter().filter(|node| node["role"] == "voter").count()
    };
    eventually("all vote", || (voters(&nodes[0]) == 3).then_some(()));
    let old = token(&nodes[0], &password);
    nodes[0].ask(&password, &["user", "create", "alice", "--email", "a@example.org"]).json();
    // The node that is left has all that was acknowledged.
    eventually("node 2 has it", || users(&nodes[1], &password).contains(&"alice".to_owned()).then_some(()));
    let join = nodes[1].ask(&password, &["cluster", "token"]).json();

    let recover = |more: &[&str]| {
        let home = ["--output", "json", "recover", "--home", text(&places[1].home)];
        run(&[&home[..], more].concat())
    };
    let running = recover(&["--others-are-gone"]);
    running.assert_refused(&["is in use by process"]);
    drop(nodes.remove(1));
    assert_eq!(recover(&[]).code, Some(1), "it is not done by mistake");
    recover(&["--others-are-gone"]).assert_refused(&["still lives", "node1 at http", "node3 at http"]);
    drop(nodes);
    let secrets = || {
        ["master.key", "ca.crt", "node.key", "node.crt"]
            .map(|name| fs::read(places[1].path("etc/security").join(name)).expect("a file of the home"))
    };
    let before = secrets();
    let done = recover(&["--others-are-gone", "--tell-nobody"]).json();
    assert!(
        before.iter().zip(&secrets()).all(|(before, after)| before != after),
        "what the others know is void"
    );
    assert_eq!(done["given_up"], serde_json::json!(["node1", "node3"]));
    let to_erase = done["to_erase"].as_array().expect("a list").iter();
    let to_erase: Vec<_> = to_erase.map(|node| (node["name"].clone(), node["url"].clone())).collect();
    assert_eq!(
        to_erase,
        [0, 2].map(|number| (
            format!("node{}", number + 1).into(),
            format!("http://{}", places[number].http).into()
        ))
    );
    let kept = Path::new(done["kept"].as_str().expect("a folder"));
    assert!(kept.join("raft").is_dir());
    assert!(done["tells"] == false && !kept.join("given-up").exists(), "the others will not be told: {done}");
    recover(&["--others-are-gone"]).assert_refused(&["there is no majority to do without"]);

    let node = places[1].serve();
    assert!(users(&node, &password).contains(&"alice".to_owned()));
    assert_nothing_lives_on(&node, &[&old], &root);
    let late = Place::new(root.path(), "late");
    let refused = late.found(&["join", "--token", join["token"].as_str().expect("a token")]);
    assert_ne!(refused.code, Some(0), "{}", refused.stdout);
    // Those of before come back: a majority of the cluster that they know, which goes on by itself.
    let mut revenants = [&places[0], &places[2]].map(|place| place.begin(&mut circlet()));
    revenants.iter_mut().for_each(Node::until_ready);
    let fresh = token(&node, &password);
    let join = node.ask(&password, &["cluster", "token"]).json();
    let fourth = Place::new(root.path(), "node4");
    fourth.found(&["join", "--token", join["token"].as_str().expect("a token")]).json();
    let fourth = fourth.serve();
    eventually("the new one votes", || (voters(&node) == 2).then_some(()));
    assert_eq!((status(&node, &fresh), status(&fourth, &fresh)), (200, 200));
    assert_are_strangers(&[&node, &fourth], &revenants, &password);
}

/// The nodes of two generations accept none of each other's tokens, and nothing that one decides reaches the other.
fn assert_are_strangers(later: &[&Node], earlier: &[Node], password: &str) {
    let (of_later, of_earlier) = (token(later[0], password), token(&earlier[0], password));
    for (node, own, foreign) in later
        .iter()
        .map(|node| (*node, &of_later, &of_earlier))
        .chain(earlier.iter().map(|node| (node, &of_earlier, &of_later)))
    {
        assert_eq!((status(node, own), status(node, foreign)), (200, 401));
    }
    let create = |node: &Node, name| {
        node.ask(password, &["user", "create", name, "--email", "s@example.org"]).json();
    };
    create(later[0], "later");
    create(&earlier[0], "earlier");
    for (nodes, own, other) in
        [(later.to_vec(), "later", "earlier"), (earlier.iter().collect(), "earlier", "later")]
    {
        for node in nodes {
            eventually("the nodes of a side have what it decided", || {
                users(node, password).contains(&own.to_owned()).then_some(())
            });
            assert!(!users(node, password).contains(&other.to_owned()), "{other} came over");
        }
    }
    let ids = |node: &Node| -> Vec<u64> {
        let status = node.ask(password, &["cluster", "status"]).json();
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        nodes.map(|node| node["id"].as_u64().expect("an id")).collect()
    };
    let of_earlier = ids(&earlier[0]);
    assert!(ids(later[0]).iter().all(|id| !of_earlier.contains(id)), "no node belongs to both");
}
