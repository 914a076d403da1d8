//! How nodes join: by files alone, a join key and the master key, placed beforehand; and by a token that is there before the
//! certificates of the CA that it names.

use std::path::Path;

use circlet::join_token::JoinToken;
use serde_json::{Value, json};

use super::cluster::{Cluster, settings_of};
use super::eventually::eventually;
use super::http::Body;
use super::link::misled_once;
use super::node::{Node, circlet, program};
use super::promises::READY_WITHIN;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";

fn place(home: &Path, name: &str, text: &str) {
    let security = home.join("etc/security");
    std::fs::create_dir_all(&security).expect("a folder");
    std::fs::write(security.join(name), text).expect("a file");
}

/// A home that nobody lives in, with the addresses and both keys.
fn new_home(folder: &Path, number: usize, peer: &str, keys: [&str; 2]) -> Node {
    let settings = &settings_of("three-node")[number];
    let more = format!("join: {{addresses: [\"127.0.0.1:1\", \"{peer}\"]}}\n");
    let node = Node::prepare(&folder.join(format!("new-{number}")), settings, &more);
    place(&node.home, "join.key", keys[0]);
    place(&node.home, "master.key", keys[1]);
    node
}

/// What `circlet join` says to being refused.
async fn refused(node: &Node) -> String {
    let mut join = tokio::process::Command::from(program());
    let ended = join.args(["join", "--home"]).arg(&node.home).output().await.expect("the program runs");
    assert_eq!(ended.status.code(), Some(1), "it is the operator's to mend");
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

async fn allow(cluster: &Cluster, allowed: bool) {
    let path = "/circlet/v1/config/join.allow-key";
    let answer = cluster.endpoint(0).put(path, cluster.admin(), Body::Json(json!({"value": allowed}))).await;
    answer.expect(200);
}

#[tokio::test]
async fn a_node_joins_by_the_keys_that_were_placed_in_it() {
    let cluster = Cluster::start("single").await;
    let status = cluster.status(0).await.expect("a status");
    let peer = status["nodes"][0]["peer"].as_str().expect("an address").to_owned();
    let master = std::fs::read_to_string(cluster.home(0).join("etc/security/master.key")).expect("a key");
    let folder = tempfile::tempdir().expect("a folder");

    let mut node = new_home(folder.path(), 1, &peer, [KEY, &master]);
    let said = refused(&node).await;
    assert!(said.contains("the join.key of the node is not the one that was placed here"), "{said}");
    place(cluster.home(0), "join.key", OTHER);
    let said = refused(&node).await;
    assert!(said.contains("the join.key of the node is not the one that was placed here"), "{said}");

    place(cluster.home(0), "join.key", KEY);
    place(&node.home, "master.key", OTHER);
    let said = refused(&node).await;
    assert!(said.contains("the master.key of the node is not this cluster's"), "{said}");

    place(&node.home, "master.key", &master);
    allow(&cluster, false).await;
    let said = refused(&node).await;
    assert!(said.contains("join.allow-key") && said.contains("circlet cluster token"), "{said}");
    let nodes = cluster.status(0).await.expect("a status")["nodes"].clone();
    assert_eq!(nodes.as_array().map(Vec::len), Some(1), "nobody was admitted: {nodes}");

    allow(&cluster, true).await;
    node.start();
    eventually(READY_WITHIN, "the new node votes", || async {
        let status = cluster.status(0).await?;
        let votes = |node: &Value| node["name"] == "node-2" && node["role"] == "voter";
        status["nodes"].as_array()?.iter().any(votes).then_some(())
    })
    .await;
    // Its identity is its own from now on.
    node.start();
    eventually(READY_WITHIN, "the restarted node serves", || async {
        let ready = reqwest::get(format!("{}/readyz", node.url)).await.ok()?;
        (ready.status() == 200).then_some(())
    })
    .await;
}

/// The address at which the only node of a cluster speaks to its peers.
async fn peer_of(cluster: &Cluster) -> String {
    let status = cluster.status(0).await.expect("a status");
    status["nodes"][0]["peer"].as_str().expect("an address").to_owned()
}

#[tokio::test]
async fn a_node_that_is_shown_a_certificate_of_another_ca_asks_again() {
    let (cluster, other) = Cluster::start_circle().await;
    let minted =
        cluster.endpoint(0).post("/circlet/v1/cluster/tokens", cluster.admin(), Body::Json(json!({})));
    let mut token = JoinToken::parse(&minted.await.member("token")).expect("a join token");
    token.addresses = vec![misled_once(&peer_of(&other).await, &peer_of(&cluster).await).await];
    let token = token.to_text();
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::prepare(&folder.path().join("late"), &settings_of("three-node")[1], "");
    let joined = circlet(&["join", "--token", token.expose_text().expect("text")], &node.home).await;
    assert_eq!(joined["service_id"], cluster.service_id.as_str());
}
