//! Secrets are turned over while clients are at work: a node's disk is stolen, the master key is replaced, the CA is.

pub(super) mod disk;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use circlet::reference_token;
use circlet::seal::MasterKey;
use circlet::secret::Secret;
use circlet_authority::KeyState;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use self::disk::{Disk, copy, master_key_file, next_master_key_file, text};
use super::cluster::Cluster;
use super::eventually::eventually;
use super::failover::{Done, assert_kept_promises, work};
use super::http::{Auth, Body, Endpoint};
use super::load::Load;
use super::node::program;
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, TOKENS, create, create_body};

const CLUSTER: &str = "/circlet/v1/cluster";
const CONFIG: &str = "/circlet/v1/config";

/// Plain tokens, issued on the password of the administrator, without a second try.
struct Issuing {
    stop: Arc<AtomicBool>,
    failed: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Issuing {
    fn start(nodes: &[Endpoint], password: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let failed = Arc::new(Mutex::new(Vec::new()));
        let issue = |node: &Endpoint| {
            let (node, password) = (node.clone(), password.to_owned());
            let (stop, failed) = (Arc::clone(&stop), Arc::clone(&failed));
            tokio::spawn(async move {
                let mut issued = 0;
                while !stop.load(Ordering::SeqCst) {
                    let body = Body::Json(create_body(PLAIN_SECS, false));
                    match node.send(Method::POST, TOKENS, Auth::Password("admin", &password), body).await {
                        Ok(answer) if answer.status == 200 => issued += 1,
                        other => failed.lock().expect("no panic while held").push(format!("{other:?}")),
                    }
                }
                issued
            })
        };
        let tasks = nodes.iter().map(issue).collect();
        Self { stop, failed, tasks }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks {
            assert!(task.await.expect("no panic") > 0, "each node issued something");
        }
        let failed = self.failed.lock().expect("no panic while held");
        assert!(failed.is_empty(), "{failed:?}");
    }
}

/// Runs the program in a home until it ends by itself.
async fn ended(arguments: &[&str], home: &Path) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::from(program());
    let command = command.args(arguments).arg("--home").arg(home).kill_on_drop(true);
    let ended = tokio::time::timeout(READY_WITHIN, command.output()).await;
    let ended = ended.expect("it ends by itself").expect("the program runs");
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

fn audit_of(cluster: &Cluster, numbers: &[usize]) -> String {
    numbers.iter().map(|number| text(&cluster.home(*number).join("logs/access-security-audit.log"))).collect()
}

#[tokio::test]
async fn a_stolen_disk_is_worth_nothing_once_its_node_was_removed_as_lost() {
    let mut cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let victim = cluster.others(leader)[0];
    let survivors = cluster.others(victim);
    let mut body = create_body(LONG_SECS, true);
    body["include_reference_token"] = json!(true);
    let real = cluster.endpoint(leader).post(TOKENS, cluster.admin(), Body::Json(body)).await;
    let access = real.member("access_token");
    let path = format!("{CLUSTER}/tokens");
    let minted = cluster.endpoint(leader).post(&path, cluster.admin(), Body::Json(json!({}))).await;
    let join_token = minted.member("token");
    assert_eq!(cluster.endpoint(victim).verify(&access).await.status, 200, "the victim knows it");

    cluster.kill(victim);
    let folder = tempfile::tempdir().expect("a folder");
    let stolen = folder.path().join("stolen");
    copy(cluster.home(victim), &stolen);
    let thief = Disk::read(&stolen);
    let forged = thief.forged_token();
    let (refresh, reference) = thief.derived(&access);
    assert_eq!(refresh, real.member("refresh_token"), "the disk gives refresh tokens away");
    assert_eq!(reference, real.member("reference_token"), "and reference tokens");
    assert!(reference_token::looks_like_one(&reference));
    for number in &survivors {
        for token in [&forged, &reference] {
            assert_eq!(cluster.endpoint(*number).verify(token).await.status, 200, "it works so far");
        }
    }

    let nodes: Vec<Endpoint> = survivors.iter().map(|number| cluster.endpoint(*number).clone()).collect();
    let issuing = Issuing::start(&nodes, &cluster.admin_password);
    let name = format!("node-{}", victim + 1);
    let lost = remove_lost(&cluster, &nodes[0], &name).await;
    assert_eq!(lost["name"], name.as_str());
    assert!(lost["left_to_do"].to_string().contains("etc/security/ca.crt"), "{lost}");
    let fresh = create_with_password(&cluster, &nodes[0], LONG_SECS).await;
    issuing.stop().await;

    worthless(&nodes, &cluster, &forged, &refresh, &reference, &access).await;
    // Its home is told that it was removed, and a join token of before lets nobody in.
    let (code, said) = ended(&["serve"], &stolen).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("was removed from cluster"), "{said}");
    let (code, said) = ended(&["join", "--token", &join_token], &folder.path().join("newcomer")).await;
    assert_ne!(code, Some(0), "{said}");
    steps_are_audited(&audit_of(&cluster, &survivors));

    // Asked again, it has been done.
    let again = nodes[1]
        .post(&format!("{CLUSTER}/nodes/{name}/lost"), cluster.admin(), Body::Empty)
        .await
        .expect(200);
    assert_eq!((&again["index"], &again["master_key"]), (&lost["index"], &lost["master_key"]));

    survivors_serve_on(&mut cluster, survivors, &thief, &forged, &fresh).await;
}

#[tokio::test]
async fn what_a_lost_node_knew_is_replaced_though_the_leader_dies_on_the_way() {
    let mut cluster = Cluster::start("five-node").await;
    let first = text(&master_key_file(cluster.home(0)));
    let leader = cluster.leader(&cluster.all()).await;
    let others = cluster.others(leader);
    let [victim, silent, asked] = [others[0], others[1], others[2]];
    cluster.kill(victim);
    // The next master key waits for this one, so the leader has not done much when it dies.
    cluster.pause(silent);
    let (node, password) = (cluster.endpoint(asked).clone(), cluster.admin_password.clone());
    let asking = tokio::spawn(async move {
        let path = format!("{CLUSTER}/nodes/node-{}/lost", victim + 1);
        node.post(&path, Auth::Password("admin", &password), Body::Empty).await
    });
    let path = format!("{CLUSTER}/status");
    eventually(READY_WITHIN, "another master key is on its way", || async {
        let status = cluster.endpoint(asked).get(&path, cluster.admin()).await.expect(200);
        (status["next_master_key"].is_object() && status["lost"][0]["id"].is_u64()).then_some(())
    })
    .await;
    cluster.kill(leader);
    cluster.resume(silent);
    let lost = asking.await.expect("no panic").expect(200);
    let status = cluster.endpoint(asked).get(&path, cluster.admin()).await.expect(200);
    assert_eq!((&status["master_key"], &status["lost"]), (&lost["master_key"], &json!([])));
    cluster.restart(leader);
    cluster.ready(leader).await;
    let left: Vec<usize> = cluster.others(victim);
    one_other_key(&cluster, &left, &first).await;
    for number in left {
        assert_eq!(cluster.endpoint(number).verify(&cluster.admin_token).await.status, 401, "it is tainted");
    }
}

/// Their disks hold nothing that the thief could open, and they go on with what is on them.
async fn survivors_serve_on(
    cluster: &mut Cluster,
    survivors: Vec<usize>,
    thief: &Disk,
    forged: &str,
    fresh: &str,
) {
    for number in &survivors {
        cluster.kill(*number);
    }
    for number in &survivors {
        nothing_new_opens(thief, cluster.home(*number));
    }
    for number in &survivors {
        cluster.restart(*number);
    }
    for number in survivors {
        cluster.ready(number).await;
        let node = cluster.endpoint(number);
        assert_eq!(node.verify(fresh).await.status, 200);
        assert_eq!(node.verify(forged).await.status, 401);
    }
}

/// As an operator does it.
async fn remove_lost(cluster: &Cluster, node: &Endpoint, name: &str) -> Value {
    let mut command = tokio::process::Command::from(program());
    command.args(["--output", "json", "cluster", "remove", name, "--lost"]);
    command.args(["--url", node.url(), "--user", "admin"]);
    let removal = command.env("CIRCLET_PASSWORD", &cluster.admin_password).output().await;
    let removal = removal.expect("the program runs");
    let said = String::from_utf8_lossy(&removal.stderr).into_owned();
    assert!(removal.status.success(), "{said}");
    assert!(said.contains("clients log in anew"), "what is left to do is told: {said}");
    serde_json::from_slice(&removal.stdout).expect("JSON")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes whatever is written to it");
        text
    })
}

async fn create_with_password(cluster: &Cluster, node: &Endpoint, secs: u64) -> String {
    let body = Body::Json(create_body(secs, false));
    node.post(TOKENS, cluster.admin(), body).await.member("access_token")
}

/// What the thief made, and what it could derive, is refused by every survivor.
async fn worthless(
    nodes: &[Endpoint],
    cluster: &Cluster,
    forged: &str,
    refresh: &str,
    reference: &str,
    access: &str,
) {
    for node in nodes {
        for token in [forged, reference, access] {
            eventually(READY_WITHIN, "the token is refused", || async {
                (node.verify(token).await.status == 401).then_some(())
            })
            .await;
        }
        // With an administrator's credential, so that nothing but the refresh token itself is in the way.
        let again = json!({ "grant_type": "refresh_token", "refresh_token": refresh });
        let refused = node.post(TOKENS, cluster.admin(), Body::Json(again)).await;
        assert_eq!(refused.status / 100, 4, "{}", refused.text);
        assert!(refused.text.contains("refresh"), "{}", refused.text);
    }
}

fn steps_are_audited(audit: &str) {
    for step in [
        "\"removed\":{\"id\"",
        "\"state\":\"lost\"",
        "|master-key|C|KEY|",
        "|master-key|U|KEY|",
        "\"state\":\"tainted\"",
        "|cluster-ca|U|KEY|",
        "|refresh-secret|U|KEY|",
        "\"replaced\":",
    ] {
        assert!(audit.contains(step), "{step} is not in the audit log:\n{audit}");
    }
}

/// The survivor's own key opens its state; with the stolen one not a single secret does.
fn nothing_new_opens(thief: &Disk, home: &Path) {
    let survivor = Disk::read(home);
    let state = &survivor.state;
    survivor.keys().check(state).expect("its own key opens all of it");
    assert_ne!(survivor.master.fingerprint(), thief.master.fingerprint());
    let stolen = thief.keys();
    for key in state.keyring().filter(|key| key.private_key.is_some()) {
        assert!(stolen.signing_key(state, &key.kid).is_err(), "{}", key.kid);
    }
    assert!(stolen.refresh_secret(state).is_err() && stolen.cluster_ca(state).is_err());
    for old in thief.state.keyring() {
        let now = state.key(&old.kid).expect("keys are remembered");
        assert_eq!((now.state, now.private_key.is_none()), (KeyState::Tainted, true), "{}", old.kid);
    }
    assert_ne!(state.cluster_ca_certificate(), thief.state.cluster_ca_certificate());
    assert_key_file(home);
}

fn assert_key_file(home: &Path) {
    let mode = std::fs::metadata(master_key_file(home)).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!next_master_key_file(home).exists(), "the next key has taken its place");
}

/// Waits until the homes of these nodes hold one master key, another than this one, and returns it.
async fn one_other_key(cluster: &Cluster, numbers: &[usize], than: &str) -> String {
    eventually(READY_WITHIN, "each node has written the new master key", || async {
        let keys: Vec<String> =
            numbers.iter().map(|number| text(&master_key_file(cluster.home(*number)))).collect();
        let settled = numbers.iter().all(|number| !next_master_key_file(cluster.home(*number)).exists());
        (settled && keys[0] != than && keys.iter().all(|key| *key == keys[0])).then(|| keys[0].clone())
    })
    .await
}

#[tokio::test]
async fn the_master_key_is_replaced_and_a_node_that_was_down_follows() {
    let mut cluster = Cluster::start("three-node").await;
    let first = text(&master_key_file(cluster.home(0)));
    let leader = cluster.leader(&cluster.all()).await;
    let down = cluster.others(leader)[0];
    let up = cluster.others(down);
    let token = create(cluster.endpoint(leader), &cluster.admin_token, LONG_SECS, false).await;
    let token = token.member("access_token");
    cluster.kill(down);
    let awake: Vec<Endpoint> = up.iter().map(|number| cluster.endpoint(*number).clone()).collect();
    let load = Load::start(&awake.iter().collect::<Vec<_>>(), &cluster.admin_token);
    let mut done = work(&load, &Done::default()).await;

    // It is waited for, and nothing changes meanwhile.
    let path = format!("{CLUSTER}/master-key");
    let waits = awake[0].send(Method::POST, &path, cluster.admin(), Body::Empty).await.expect("an answer");
    assert_eq!(waits.status, 503, "{}", waits.text);
    assert!(
        waits.text.contains("not finished") && waits.text.contains(&format!("node-{}", down + 1)),
        "{}",
        waits.text
    );
    for number in &up {
        assert_eq!(text(&master_key_file(cluster.home(*number))), first);
        assert!(next_master_key_file(cluster.home(*number)).exists(), "but they have the next one");
    }
    cluster.restart(down);
    cluster.ready(down).await;
    let second = one_other_key(&cluster, &cluster.all(), &first).await;
    done = work(&load, &done).await;
    assert_key_file(cluster.home(down));

    // One that is silent for longer than its patience is not waited for. When it comes back it learns of the key by the log,
    // and takes part in a step that is over, or by a view from after it, and asks the others: as it catches up.
    let isolation = json!({ "verify.max-isolation": 1 });
    let set = awake[0]
        .send(Method::PATCH, CONFIG, cluster.admin(), Body::Json(isolation))
        .await
        .expect("an answer");
    set.expect(200);
    cluster.kill(down);
    let turned = cluster.endpoint(leader).post(&path, cluster.admin(), Body::Empty).await.expect(200);
    assert_ne!(turned["fingerprint"], turned["former"]);
    let third = one_other_key(&cluster, &up, &second).await;
    assert_eq!(text(&master_key_file(cluster.home(down))), second, "it can't know");
    cluster.restart(down);
    cluster.ready(down).await;
    assert_eq!(one_other_key(&cluster, &cluster.all(), &second).await, third);
    work(&load, &done).await;
    assert_kept_promises(&load.stop().await);

    files_of_any_step_come_right(&mut cluster, down, [&first, &second, &third]).await;
    for number in cluster.all() {
        cluster.kill(number);
    }
    for number in cluster.all() {
        cluster.restart(number);
    }
    for number in cluster.all() {
        cluster.ready(number).await;
        assert_eq!(cluster.endpoint(number).verify(&token).await.status, 200, "nothing was lost");
        let issued = create(cluster.endpoint(number), &cluster.admin_token, LONG_SECS, true).await;
        assert_eq!(issued.status, 200, "{}", issued.text);
    }
}

/// Whatever a crash, or somebody's hand, left on a disk: the present key is there again by itself, unless it never was.
async fn files_of_any_step_come_right(cluster: &mut Cluster, number: usize, keys: [&String; 3]) {
    let [first, second, third] = keys;
    let home = cluster.home(number).to_path_buf();
    let write = |file: PathBuf, key: &str| {
        std::fs::write(&file, key).expect("a key file");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("a mode");
    };
    // After the entry and before the file.
    cluster.kill(number);
    write(master_key_file(&home), second);
    write(next_master_key_file(&home), third);
    cluster.restart(number);
    cluster.ready(number).await;
    one_other_key(cluster, &[number], second).await;
    // One that was given up is left over.
    write(next_master_key_file(&home), &"ab".repeat(32));
    one_other_key(cluster, &[number], second).await;
    // An older one is placed while the node runs.
    write(master_key_file(&home), first);
    assert_eq!(&one_other_key(cluster, &[number], first).await, third);
    let said = cluster.said(number);
    assert!(said.contains("holds an older master key than the cluster's"), "{said}");
    // One that never was this cluster's: it says so with both fingerprints, and doesn't start.
    cluster.kill(number);
    let stranger = "cd".repeat(32);
    write(master_key_file(&home), &stranger);
    let (code, said) = ended(&["serve"], &home).await;
    assert_eq!(code, Some(1), "{said}");
    let fingerprint = |key: &str| {
        let key = MasterKey::parse(&Secret::from(key.to_owned())).expect("a key").fingerprint();
        hex(&key)
    };
    assert!(said.contains(&fingerprint(third)) && said.contains(&fingerprint(&stranger)), "{said}");
    write(master_key_file(&home), third);
    cluster.restart(number);
    cluster.ready(number).await;
}

#[tokio::test]
async fn another_ca_parts_no_peers_and_the_nodes_certificates_follow() {
    let mut cluster = Cluster::start("three-node").await;
    let endpoints: Vec<&Endpoint> = cluster.endpoints().collect();
    let file = |number: usize, name: &str| text(&cluster.home(number).join("etc/security").join(name));
    let before: Vec<_> =
        cluster.all().into_iter().map(|number| (file(number, "ca.crt"), file(number, "node.crt"))).collect();
    let load = Load::start(&endpoints, &cluster.admin_token);
    let done = work(&load, &Done::default()).await;
    let turned = endpoints[1].post(&format!("{CLUSTER}/ca"), cluster.admin(), Body::Empty).await.expect(200);
    for number in cluster.all() {
        eventually(READY_WITHIN, "the node shows certificates of the new CA", || async {
            let (ca, own) = (file(number, "ca.crt"), file(number, "node.crt"));
            (turned["certificate"] == ca.as_str() && ca != before[number].0 && own != before[number].1)
                .then_some(())
        })
        .await;
    }
    work(&load, &done).await;
    assert_kept_promises(&load.stop().await);
    for number in cluster.all() {
        assert!(!cluster.said(number).contains("not welcome"), "{}", cluster.said(number));
    }
    for number in cluster.all() {
        cluster.kill(number);
        cluster.restart(number);
        cluster.ready(number).await;
    }
}
