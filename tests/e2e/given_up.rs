//! Nodes that were given up: told that their generation is over, they stop, and start no more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body};
use super::node::{Environment, circlet, try_circlet};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, create};

/// The node that goes on; the others are given up.
const LEFT: usize = 2;
const GIVEN_UP: [usize; 2] = [0, 1];

/// Three nodes are killed, and one of them begins the next generation. Returns what that said, and a token of before.
async fn recovered() -> (Cluster, Value, String) {
    let mut cluster = Cluster::start("three-node").await;
    let token =
        create(cluster.endpoint(LEFT), &cluster.admin_token, LONG_SECS, false).await.member("access_token");
    for number in cluster.all() {
        assert_eq!(cluster.endpoint(number).verify(&token).await.status, 200);
    }
    for number in cluster.all() {
        cluster.kill(number);
    }
    let done = circlet(&["recover", "--others-are-gone"], cluster.home(LEFT)).await;
    assert_eq!(done["tells"], true, "{done}");
    (cluster, done, token)
}

/// Waits until a node has ended by itself, as one does whose home is not in order; returns all that it said.
async fn has_stopped(cluster: &mut Cluster, number: usize) -> String {
    let ended = eventually(READY_WITHIN, "a node that was given up stops", || {
        let ended = cluster.ended(number);
        async move { ended }
    });
    let ended = ended.await;
    assert_eq!(ended.code(), Some(1), "{}", cluster.said(number));
    cluster.said(number)
}

/// Whom the node that is left has told, and who of them knows.
async fn told(cluster: &Cluster) -> Option<Vec<(String, bool)>> {
    let path = "/circlet/v1/cluster/status";
    let answer = cluster.endpoint(LEFT).send(Method::GET, path, cluster.admin(), Body::Empty).await.ok()?;
    let status: Value = serde_json::from_str(&answer.text).ok()?;
    let nodes = status["given_up"].as_array()?.iter();
    let one = |node: &Value| Some((node["name"].as_str()?.to_owned(), node["told_at"].is_string()));
    nodes.map(one).collect()
}

fn superseded(home: &Path) -> PathBuf {
    home.join("etc/security/superseded.json")
}

async fn assert_they_stop(cluster: &mut Cluster, done: &Value, token: &str) {
    let generation = &done["generation"];
    for number in GIVEN_UP {
        let said = has_stopped(cluster, number).await;
        for part in [
            format!(
                "was given up: cluster {} goes on in generation {generation} without it",
                cluster.service_id
            ),
            "erase its home, and join anew from an empty directory".to_owned(),
        ] {
            assert!(said.contains(&part), "`{part}` is missing: {said}");
        }
        assert!(cluster.endpoint(number).verify_once(token).await.is_err(), "it serves nothing more");
        let mode = superseded(cluster.home(number)).metadata().expect("it keeps it").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    eventually(READY_WITHIN, "the node that is left has heard that they know", || async {
        let told = told(cluster).await?;
        (told == [("node-1".to_owned(), true), ("node-2".to_owned(), true)]).then_some(())
    })
    .await;
    let kept = Path::new(done["kept"].as_str().expect("a folder")).join("given-up");
    assert!(kept.join("nodes.json").exists());
    assert!(!kept.join("node.key").exists(), "the key of before is of no use any more");
}

/// Who knows doesn't start, whoever is there to say so.
async fn assert_they_stay_away(cluster: &mut Cluster) {
    cluster.kill(LEFT);
    for number in GIVEN_UP {
        let before = cluster.said(number).len();
        cluster.restart(number);
        let said = has_stopped(cluster, number).await;
        let said = &said[before..];
        assert!(said.contains("was given up") && said.contains("superseded.json"), "{said}");
        assert!(!said.contains("serving clients"), "{said}");
        let doctor = try_circlet(&["doctor"], cluster.home(number), &Environment::new()).await;
        let found = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(found.contains("was given up"), "{found}");
        let again = ["recover", "--others-are-gone", "--force"];
        let again = try_circlet(&again, cluster.home(number), &Environment::new()).await;
        let why = String::from_utf8_lossy(&again.stderr).into_owned();
        assert!(again.status.code() == Some(1) && why.contains("was given up"), "{why}");
    }
}

#[tokio::test]
async fn a_majority_that_comes_back_alone_stops_when_it_is_told_that_it_was_given_up() {
    let (mut cluster, done, token) = recovered().await;
    for number in GIVEN_UP {
        cluster.restart(number);
    }
    for number in GIVEN_UP {
        cluster.ready(number).await;
        assert_eq!(cluster.endpoint(number).verify(&token).await.status, 200, "nobody has told it yet");
    }
    let kept = Path::new(done["kept"].as_str().expect("a folder")).join("given-up");
    for file in ["nodes.json", "node.key", "node.crt"] {
        let mode = fs::metadata(kept.join(file)).expect("what it takes to tell them").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    cluster.restart(LEFT);
    cluster.ready(LEFT).await;
    assert_eq!(cluster.endpoint(LEFT).verify(&token).await.status, 401, "it is of before");
    assert_they_stop(&mut cluster, &done, &token).await;
    assert_they_stay_away(&mut cluster).await;
}

#[tokio::test]
async fn a_majority_that_comes_back_is_told_by_the_one_that_waits_for_it() {
    let (mut cluster, done, token) = recovered().await;
    cluster.restart(LEFT);
    cluster.ready(LEFT).await;
    let unheard = told(&cluster).await.expect("a status");
    assert_eq!(unheard, [("node-1".to_owned(), false), ("node-2".to_owned(), false)]);
    // It goes on telling them after a restart.
    cluster.restart(LEFT);
    cluster.ready(LEFT).await;
    for number in GIVEN_UP {
        cluster.restart(number);
    }
    assert_they_stop(&mut cluster, &done, &token).await;
    assert_they_stay_away(&mut cluster).await;
}

#[tokio::test]
async fn a_node_that_was_removed_gives_nobody_up() {
    let mut cluster = Cluster::start("three-node").await;
    let token =
        create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, false).await.member("access_token");
    // It doesn't hear that it is removed.
    cluster.kill(LEFT);
    let path = "/circlet/v1/cluster/nodes/node-3";
    let removed = cluster.endpoint(0).ask(Method::DELETE, path, cluster.admin(), Body::Empty).await;
    assert_eq!(removed.status, 204, "{}", removed.text);
    circlet(&["recover", "--others-are-gone", "--force"], cluster.home(LEFT)).await;
    cluster.restart(LEFT);
    eventually(READY_WITHIN, "both have refused to listen", || async {
        let said = cluster.said(LEFT);
        (said.matches("had removed this one before").count() == 2).then_some(())
    })
    .await;
    for number in GIVEN_UP {
        assert_eq!(cluster.endpoint(number).verify(&token).await.status, 200);
        let group = format!("/artifactory/api/security/groups/after-{number}");
        let body = Body::Json(serde_json::json!({ "name": format!("after-{number}") }));
        let made = cluster.endpoint(number).put(&group, Auth::Token(&cluster.admin_token), body).await;
        assert!(matches!(made.status, 200 | 201), "they go on: {}", made.text);
        assert!(!superseded(cluster.home(number)).exists());
    }
}
