//! A cluster that is lost with all its nodes, and whose tokens live on: each node kept a revocation floor elsewhere.

mod recovered;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually::{eventually, until};
use super::http::{Answer, Auth, Body, Endpoint};
use super::node::{Environment, Node, circlet, program, try_circlet};
use super::ports::Ports;
use super::promises::{READY_WITHIN, REVOKED_WITHIN};
use super::tokens::{
    LONG_SECS, PLAIN_SECS, Pair, TOKENS, create, create_body, refresh_once, revoke, revoke_once,
};

const CONFIG: &str = "/circlet/v1/config";
const KEYS: &str = "/circlet/v1/keys";
const USERS: &str = "/access/api/v2/users";
const REQUIRED: &str = "revocation-floor.required";
const PASSPHRASE: &str = "correct horse battery staple";

/// Storage that outlives the nodes.
struct Storage(tempfile::TempDir);

impl Storage {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn root(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }

    fn settings(&self) -> String {
        format!("revocation-floor.dir: {}\n", self.root())
    }

    /// The folder of the only cluster that has floors there.
    fn folder(&self, ending: &str) -> PathBuf {
        let entries =
            fs::read_dir(self.0.path()).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut folders = entries.filter(|path| path.to_str().is_some_and(|path| path.ends_with(ending)));
        folders.next().unwrap_or_else(|| panic!("no {ending} in {}", self.root()))
    }

    fn floors(&self) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(self.folder("")).expect("a folder").map(|entry| entry.expect("an entry").path());
        let mut floors: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|ending| ending == "floor")).collect();
        floors.sort_by_key(|path| {
            path.file_stem().and_then(|node| node.to_str()?.parse::<u64>().ok()).expect("a node's id")
        });
        floors
    }
}

async fn require(node: &Endpoint, admin: Auth<'_>, on: bool) -> Answer {
    let change = Body::Json(json!({ REQUIRED: on }));
    node.send(Method::PATCH, CONFIG, admin, change).await.expect("an answer")
}

/// A token for somebody, by the administrator's password.
async fn token_of(cluster: &Cluster, number: usize, name: &str) -> Answer {
    let mut body = create_body(LONG_SECS, false);
    body["username"] = name.into();
    cluster.endpoint(number).post(TOKENS, cluster.admin(), Body::Json(body)).await
}

async fn backup(node: &Endpoint, password: &str, folder: &Path) -> PathBuf {
    let (file, passphrase) = (folder.join("backup"), folder.join("passphrase"));
    fs::write(&passphrase, PASSPHRASE).expect("a file");
    let mut command = tokio::process::Command::from(program());
    command.args(["backup", "--url", node.url(), "--user", "admin", "--out"]).arg(&file);
    command.arg("--passphrase-file").arg(&passphrase).env("CIRCLET_PASSWORD", password);
    let made = command.output().await.expect("the program runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    file
}

/// `circlet restore --floor` into a home.
async fn restore(backup: &Path, storage: &Storage, home: &Path) -> Output {
    let passphrase = backup.with_file_name("passphrase");
    let (backup, passphrase) = (backup.to_str().expect("UTF-8"), passphrase.to_str().expect("UTF-8"));
    let order = ["restore", backup, "--replace", "--floor", storage.root(), "--passphrase-file", passphrase];
    try_circlet(&order, home, &Environment::new()).await
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Makes the folder of floors unreachable for all nodes, and finds out what they say.
async fn nothing_is_acknowledged_that_is_not_on_the_floor(cluster: &Cluster, storage: &Storage) {
    let token = token_of(cluster, 0, "robot").await;
    let (id, access) = (token.member("token_id"), token.member("access_token"));
    let (folder, aside) = (storage.folder(""), storage.0.path().with_extension("aside"));
    fs::rename(&folder, &aside).expect("renamed");
    let node = cluster.endpoint(1);
    let body = || Body::Json(json!({ "cascade": false }));
    let withheld = node.send(Method::DELETE, &format!("{TOKENS}/{id}"), cluster.admin(), body()).await;
    let withheld = withheld.expect("an answer");
    assert_eq!(withheld.status, 503, "{}", withheld.text);
    assert!(
        withheld.text.contains("it was decided, and is not on this node's revocation floor"),
        "{}",
        withheld.text
    );
    // The decision holds.
    eventually(READY_WITHIN, "the token is refused", || async {
        (node.verify(&access).await.status == 401).then_some(())
    })
    .await;
    let ready =
        node.send(Method::GET, "/readyz?for=writes", Auth::Nobody, Body::Empty).await.expect("an answer");
    assert_eq!(ready.status, 503, "{}", ready.text);
    assert!(ready.text.contains("no_floor"), "{}", ready.text);
    let recorded =
        node.send(Method::POST, TOKENS, cluster.admin(), Body::Json(create_body(LONG_SECS, false))).await;
    let recorded = recorded.expect("an answer");
    assert!(recorded.status == 503 && recorded.text.contains("nothing was changed"), "{}", recorded.text);
    let plain =
        node.send(Method::POST, TOKENS, cluster.admin(), Body::Json(create_body(PLAIN_SECS, false))).await;
    assert_eq!(plain.expect("an answer").status, 200, "plain tokens need no decision");
    fs::rename(&aside, &folder).expect("renamed back");
    let again = node.ask(Method::DELETE, &format!("{TOKENS}/{id}"), cluster.admin(), body()).await;
    assert!(matches!(again.status, 200 | 204), "{} {}", again.status, again.text);
    for number in cluster.all() {
        eventually(READY_WITHIN, "its floor stands again", || async {
            let asked =
                cluster.endpoint(number).send(Method::GET, "/readyz?for=writes", Auth::Nobody, Body::Empty);
            (asked.await.ok()?.status == 200).then_some(())
        })
        .await;
    }
}

/// Replaces the signing key, and returns the id of the one before.
async fn rotate(cluster: &Cluster) -> String {
    let active = cluster.endpoint(0).get(&format!("{KEYS}/active"), cluster.admin()).await.member("kid");
    let made = cluster.endpoint(0).post(KEYS, cluster.admin(), Body::Json(json!({}))).await.expect(201);
    for node in cluster.endpoints() {
        eventually(READY_WITHIN, "the next key signs", || async {
            let signs = node.get(&format!("{KEYS}/active"), cluster.admin()).await.member("kid");
            (made["kid"] == signs.as_str()).then_some(())
        })
        .await;
    }
    active
}

/// The next generation is refused while a floor is missing, or is a copy; the nodes may go on writing.
async fn refuse_what_proves_nothing(storage: &Storage, begin: impl AsyncFn() -> Output) {
    let (floor, aside) = (storage.floors()[1].clone(), storage.0.path().with_extension("one-floor"));
    fs::rename(&floor, &aside).expect("renamed");
    assert_refused(storage, &begin().await, "its floor is not there");
    fs::copy(&aside, &floor).expect("copied");
    let refused = begin().await;
    assert_refused(storage, &refused, "it is a copy");
    assert!(said(&refused).contains("node node-2 (id "), "{}", said(&refused));
    fs::rename(&aside, &floor).expect("renamed back");
}

fn assert_refused(storage: &Storage, refused: &Output, why: &str) {
    assert_eq!(refused.status.code(), Some(1), "{}", said(refused));
    assert!(said(refused).contains(why), "{}", said(refused));
    let folder = storage.folder("");
    assert!(folder.extension().is_some_and(|generation| generation == "1"), "{}", folder.display());
}

/// What clients hold of a cluster that is gone.
struct Held {
    /// An administrator's token.
    admin: String,
    /// The id of the first of those that live on.
    kept: String,
    lives: Vec<String>,
    ended: Vec<String>,
    pair: Pair,
}

/// A cluster that requires a floor, and one token of the key before the one that signs now.
async fn requiring_a_floor(storage: &Storage) -> (Cluster, String, String) {
    let cluster = Cluster::start_with("three-node", &storage.settings()).await;
    let leaked = create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, false).await;
    let former_key = rotate(&cluster).await;
    let required = eventually(READY_WITHIN, "the node's floor stands", || async {
        let answer = require(cluster.endpoint(0), cluster.admin(), true).await;
        (answer.status != 409).then_some(answer)
    })
    .await;
    assert_eq!(required.status, 200, "{}", required.text);
    (cluster, leaked.member("access_token"), former_key)
}

/// What a cluster has issued.
struct Issued {
    admin: String,
    kept: Answer,
    by_id: Answer,
    of_alice: String,
    of_bob: String,
    pair: Pair,
}

/// Issues tokens of several kinds, at every node.
async fn issue(cluster: &Cluster) -> Issued {
    let [one, two, three] = [0, 1, 2].map(|number| cluster.endpoint(number));
    let user = json!({ "username": "bob", "email": "bob@example.org", "password": "bob's secret 1" });
    assert_eq!(one.post(USERS, cluster.admin(), Body::Json(user)).await.status, 201);
    let of_admin = json!({ "scope": "applied-permissions/admin", "expires_in": LONG_SECS });
    let admin = two.post(TOKENS, cluster.admin(), Body::Json(of_admin)).await.member("access_token");
    Issued {
        kept: token_of(cluster, 0, "robot").await,
        by_id: token_of(cluster, 1, "robot").await,
        of_alice: token_of(cluster, 2, "alice").await.member("access_token"),
        of_bob: token_of(cluster, 0, "bob").await.member("access_token"),
        pair: Pair::of(&create(three, &admin, LONG_SECS, true).await),
        admin,
    }
}

/// Issues one more token, and ends some, each in another way and at another of these nodes.
async fn end_some(
    cluster: &Cluster,
    at: [usize; 3],
    issued: Issued,
    leaked: String,
    former_key: &str,
) -> Held {
    let [one, two, three] = at.map(|number| cluster.endpoint(number));
    let Issued { admin, kept, by_id, of_alice, of_bob, pair } = issued;
    let late = token_of(cluster, at[2], "robot").await.member("access_token");
    revoke(two, &admin, &by_id.member("token_id")).await.assert_revoked();
    let alices = Body::Json(json!({ "user": "alice" }));
    assert_eq!(three.post("/circlet/v1/watermarks", cluster.admin(), alices).await.status, 200);
    let disable = Body::Json(json!({ "status": "disabled" }));
    let disabled = one.ask(Method::PATCH, &format!("{USERS}/bob"), cluster.admin(), disable).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text);
    let tainted = two.post(&format!("{KEYS}/{former_key}/taint"), cluster.admin(), Body::Empty).await;
    assert_eq!(tainted.status, 200, "{}", tainted.text);
    Held {
        admin,
        kept: kept.member("token_id"),
        lives: vec![kept.member("access_token"), late, pair.access.clone()],
        ended: vec![by_id.member("access_token"), of_alice, of_bob, leaked],
        pair,
    }
}

/// Nodes that never come back, with all that was on their disks.
fn lose(cluster: &mut Cluster, numbers: &[usize]) {
    for number in numbers {
        cluster.kill(*number);
        for folder in ["data", "etc"] {
            fs::remove_dir_all(cluster.home(*number).join(folder)).expect("removed");
        }
    }
}

/// What lives on is accepted, and what had ended is refused.
async fn assert_tokens_live_on(node: &Endpoint, held: &Held) {
    for token in &held.lives {
        assert_eq!(node.verify(token).await.status, 200);
    }
    for (number, token) in held.ended.iter().enumerate() {
        let verdict = node.verify(token).await;
        assert_eq!(verdict.status, 401, "{number}: {}", verdict.text);
    }
    let refreshed = refresh_once(node, &held.pair).await.expect("an answer");
    assert_eq!(refreshed.status, 401, "{}", refreshed.text);
}

/// An earlier token acts, and can be revoked, and its end is on the new generation's own floor.
async fn assert_earlier_tokens_act_and_end(node: &Endpoint, held: &Held) {
    assert_eq!(node.get(CONFIG, Auth::Token(&held.admin)).await.status, 200);
    eventually(READY_WITHIN, "the revoke is acknowledged", || async {
        let answer = revoke_once(node, &held.admin, &held.kept).await.ok()?;
        matches!(answer.status, 200 | 204).then_some(())
    })
    .await;
    until(Instant::now() + REVOKED_WITHIN).await;
    assert_eq!(node.verify(&held.lives[0]).await.status, 401);
}

#[tokio::test]
async fn tokens_outlive_every_node_and_what_was_revoked_stays_revoked() {
    let (storage, folder) = (Storage::new(), tempfile::tempdir().expect("a folder"));
    let (mut cluster, leaked, former_key) = requiring_a_floor(&storage).await;
    nothing_is_acknowledged_that_is_not_on_the_floor(&cluster, &storage).await;
    let issued = issue(&cluster).await;
    let backup = backup(cluster.endpoint(0), &cluster.admin_password, folder.path()).await;
    let held = end_some(&cluster, [0, 1, 2], issued, leaked, &former_key).await;
    lose(&mut cluster, &[0, 1, 2]);

    let settings = "name: again\nhttp:\n  listen: 127.0.0.1:1\npeer:\n  listen: 127.0.0.1:2\n";
    let home = folder.path().join("again");
    let mut node = Node::prepare(&home, &Ports::default().substituted(settings), &storage.settings());
    refuse_what_proves_nothing(&storage, || restore(&backup, &storage, &home)).await;
    let restored = restore(&backup, &storage, &home).await;
    assert!(restored.status.success(), "{}", said(&restored));
    let restored: Value = serde_json::from_slice(&restored.stdout).expect("JSON");
    assert_eq!((&restored["earlier_tokens"], &restored["floor"]["nodes"]), (&"live on".into(), &3.into()));
    let twice = restore(&backup, &storage, &folder.path().join("twice")).await;
    assert!(!twice.status.success() && said(&twice).contains("is spent"), "{}", said(&twice));
    node.start();
    let node = Endpoint::new(&node.url);
    assert_tokens_live_on(&node, &held).await;
    assert_earlier_tokens_act_and_end(&node, &held).await;
}

#[tokio::test]
async fn a_floor_is_required_only_where_the_node_that_is_asked_has_one() {
    let cluster = Cluster::start("single").await;
    let refused = require(cluster.endpoint(0), cluster.admin(), true).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(
        refused.text.contains("no_floor") && refused.text.contains("revocation-floor.dir"),
        "{}",
        refused.text
    );
    refused_as_files(&cluster).await;
    let created = create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, false).await;
    assert_eq!(created.status, 200);
}

/// The same by each of the files that change settings: the file stays, and the node's status says why.
async fn refused_as_files(cluster: &Cluster) {
    let etc = cluster.home(0).join("etc");
    let own = eventually(READY_WITHIN, "the node shows its settings", || async {
        fs::read_to_string(etc.join("access.config.yml")).ok()
    })
    .await;
    let edited = own.replace("revocation-floor.required: false", "revocation-floor.required: true");
    assert_ne!(edited, own);
    let requires = format!("{REQUIRED}: true\n");
    for (name, text, after) in [
        ("access.config.import.yml", &requires, None),
        ("access.config.patch.yml", &requires, None),
        ("access.config.yml", &edited, Some(&own)),
    ] {
        let file = etc.join(name);
        fs::write(&file, text).expect("a file");
        eventually(READY_WITHIN, "the status says why", || async {
            let problems = cluster.status(0).await?["problems"].to_string();
            (problems.contains(name) && problems.contains("has no revocation floor that stands"))
                .then_some(())
        })
        .await;
        let held = cluster.endpoint(0).get(&format!("{CONFIG}/{REQUIRED}"), cluster.admin()).await;
        assert_eq!(held.expect(200)["value"], false, "{name}");
        assert_eq!(&fs::read_to_string(&file).expect("the file"), text, "nothing lost");
        match after {
            Some(before) => fs::write(&file, before).expect("a file"),
            None => fs::remove_file(&file).expect("removed"),
        }
    }
}

#[tokio::test]
async fn a_node_whose_floor_is_sealed_stops() {
    let storage = Storage::new();
    let mut cluster = Cluster::start_with("single", &storage.settings()).await;
    eventually(READY_WITHIN, "the floor stands", || async {
        let answer = require(cluster.endpoint(0), cluster.admin(), true).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let folder = storage.folder("");
    let sealed = PathBuf::from(format!("{}.sealed", folder.display()));
    fs::rename(&folder, &sealed).expect("renamed");
    let ended = eventually(READY_WITHIN, "the node stops", || {
        let ended = cluster.ended(0);
        async move { ended }
    })
    .await;
    assert_ne!(ended.code(), Some(0));
    let said = cluster.said(0);
    assert!(said.contains("must not acknowledge anything any more"), "{said}");
    // And does so again when something starts it again.
    cluster.restart(0);
    let again = eventually(READY_WITHIN, "the node stops again", || {
        let ended = cluster.ended(0);
        async move { ended }
    });
    assert_ne!(again.await.code(), Some(0));
    assert!(!folder.exists(), "nothing was begun in its stead");
}
