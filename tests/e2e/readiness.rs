//! What `/readyz` says of real nodes that lack something: each condition by its name, and whether anything should be sent
//! to the node at all. Short disks and memory are in `tests/http/overload.rs`, wrong clocks in `scripts/wrong-clock`.

use std::sync::{Mutex, PoisonError};

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body, Endpoint};
use super::node::{Node, circlet};
use super::ports::Ports;
use super::promises::READY_WITHIN;

/// What a node answers: the status, what it lacks, and what it serves.
struct Said {
    status: u16,
    missing: Vec<String>,
    serves: Value,
}

async fn readyz(endpoint: &Endpoint, query: &str) -> Option<Said> {
    let answer =
        endpoint.send(Method::GET, &format!("/readyz{query}"), Auth::Nobody, Body::Empty).await.ok()?;
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    let missing = body["missing"].as_array().expect("a list").iter();
    for lacks in missing.clone() {
        assert!(lacks["why"].is_string() && lacks["hint"].is_string(), "{lacks}");
    }
    let missing = missing.map(|lacks| lacks["condition"].as_str().expect("a word").to_owned());
    Some(Said { status: answer.status, missing: missing.collect(), serves: body["serves"].clone() })
}

/// Waits until a node answers with this status and lacks exactly that.
async fn assert_lacks(endpoint: &Endpoint, query: &str, status: u16, expected: &[&str]) -> Value {
    let what = format!("/readyz{query} says {status} and {expected:?}");
    let told = Mutex::new(String::new());
    eventually(READY_WITHIN, &what, || async {
        let said = readyz(endpoint, query).await?;
        let now = format!("{} {:?}", said.status, said.missing);
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != now {
            // Shown if the test fails.
            eprintln!("/readyz{query} of {}: {now}", endpoint.url());
            *told = now;
        }
        (said.status == status && said.missing == expected).then_some(said.serves)
    })
    .await
}

#[tokio::test]
async fn a_node_that_is_left_alone_says_so_and_serves_plain_tokens_until_it_was_alone_for_too_long() {
    let mut cluster = Cluster::start("three-node").await;
    for setting in ["issue.max-isolation", "verify.max-isolation"] {
        let path = format!("/circlet/v1/config/{setting}");
        let set = cluster.endpoint(0).put(&path, cluster.admin(), Body::Json(json!({"value": 30}))).await;
        assert_eq!(set.status, 200, "{}", set.text);
    }
    let all = json!({"everything": true, "plain_tokens": true});
    assert_eq!(assert_lacks(cluster.endpoint(0), "?for=writes", 200, &[]).await, all);
    let leader = cluster.leader(&cluster.all()).await;
    let left = cluster.others(leader)[0];
    for gone in cluster.others(left) {
        cluster.kill(gone);
    }
    let alone = cluster.endpoint(left);
    let plain = json!({"everything": false, "plain_tokens": true});
    assert_eq!(assert_lacks(alone, "", 200, &["stale", "no_leader"]).await, plain);
    assert_eq!(assert_lacks(alone, "?for=writes", 503, &["stale", "no_leader"]).await, plain);
    let nothing = json!({"everything": false, "plain_tokens": false});
    assert_eq!(assert_lacks(alone, "", 503, &["stale", "no_leader"]).await, nothing);
    cluster.restart(leader);
    assert_eq!(assert_lacks(cluster.endpoint(left), "?for=writes", 200, &[]).await, all);
}

#[tokio::test]
async fn a_node_that_was_sent_no_state_yet_says_so() {
    let mut cluster = Cluster::start("single").await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "name: late\nhttp:\n  listen: 127.0.0.1:1\npeer:\n  listen: 127.0.0.1:2\n";
    let mut late = Node::prepare(folder.path(), &Ports::default().substituted(settings), "");
    let tokens = "/circlet/v1/cluster/tokens";
    let minted = cluster.endpoint(0).post(tokens, cluster.admin(), Body::Json(json!({}))).await;
    circlet(&["join", "--learner", "--token", &minted.member("token")], &late.home).await;
    cluster.kill(0);
    late.start();
    let endpoint = Endpoint::new(&late.url);
    let serves = assert_lacks(&endpoint, "", 503, &["no_state", "stale", "no_leader"]).await;
    assert_eq!(serves, json!({"everything": false, "plain_tokens": false}));
    cluster.restart(0);
    assert_lacks(&endpoint, "?for=writes", 200, &[]).await;
}

#[tokio::test]
async fn a_node_that_cannot_unseal_the_keys_says_so_until_another_gives_it_the_master_key() {
    let mut cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let sealed = cluster.others(leader)[0];
    let security = cluster.home(sealed).join("etc/security");
    let file = || std::fs::read_to_string(security.join("master.key")).expect("a key");
    let former = file();
    let path = "/circlet/v1/cluster/master-key";
    let turned = cluster.endpoint(leader).post(path, cluster.admin(), Body::Empty).await;
    assert_eq!(turned.status, 200, "{}", turned.text);
    eventually(READY_WITHIN, "the next key takes its place on the other disk", || async {
        (file() != former && !security.join("next-master.key").exists()).then_some(())
    })
    .await;
    // Its disk learns with the next entries that those before are decided.
    for secs in [61, 62, 63] {
        let set = json!({ "value": secs });
        let path = "/circlet/v1/config/verify.clock-leeway";
        let set = cluster.endpoint(leader).put(path, cluster.admin(), Body::Json(set)).await;
        assert_eq!(set.status, 200, "{}", set.text);
        eventually(READY_WITHIN, "it is applied there", || async {
            let (here, there) = (cluster.status(leader).await?, cluster.status(sealed).await?);
            (here["applied"] == there["applied"]).then_some(())
        })
        .await;
    }
    for number in cluster.all() {
        cluster.kill(number);
    }
    std::fs::write(security.join("master.key"), &former).expect("a key file");
    cluster.restart(sealed);
    let alone = cluster.endpoint(sealed);
    let serves = assert_lacks(alone, "", 503, &["keys_sealed", "stale", "no_leader"]).await;
    assert_eq!(serves, json!({"everything": false, "plain_tokens": false}));
    for number in cluster.others(sealed) {
        cluster.restart(number);
    }
    assert_lacks(cluster.endpoint(sealed), "?for=writes", 200, &[]).await;
    // It opens the keys as soon as it holds it in memory.
    let is_filed = || async { (file() != former).then_some(()) };
    eventually(READY_WITHIN, "its file holds the cluster's again", is_filed).await;
}
