//! The nodes, as a cluster of one has them.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const NODES: &str = "/circlet/v1/cluster/nodes";

transcript_test!(cluster_endpoints, async |t: &mut Transcript<'_>| {
    until_all_is_told(t).await;
    for path in ["/circlet/v1/cluster", "/circlet/v1/cluster/status", "/circlet/v1/cluster/nodes"] {
        t.ask(Method::GET, path, As::Admin, Body::Empty).await;
    }
    t.ask(Method::GET, "/circlet/v1/cluster", As::Nobody, Body::Empty).await;
    t.note("a join token is shown once");
    t.ask(Method::POST, "/circlet/v1/cluster/tokens", As::Admin, Body::Empty).await;
    t.note("the leadership, to the node that has it, and to none");
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, Body::Json(json!({"to": "node1"}))).await;
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, Body::Json(json!({"to": "nobody"}))).await;
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, Body::Empty).await;
    t.note("the only node stays");
    t.ask(Method::DELETE, "/circlet/v1/cluster/nodes/node1", As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, "/circlet/v1/cluster/nodes/nobody", As::Admin, Body::Empty).await;
});

transcript_test!(secrets_turned_over, async |t: &mut Transcript<'_>| {
    for path in ["/circlet/v1/cluster/master-key", "/circlet/v1/cluster/ca"] {
        t.ask(Method::POST, path, As::Nobody, Body::Empty).await;
        t.ask(Method::POST, path, As::Admin, Body::Empty).await;
    }
    t.note("a key that signs is sealed under the new master key as well");
    t.quietly(Method::POST, "/circlet/v1/keys/active/taint", As::Admin, Body::Empty).await;
    let turned = t.quietly(Method::POST, "/circlet/v1/cluster/master-key", As::Admin, Body::Empty).await;
    let status = t.quietly(Method::GET, "/circlet/v1/cluster", As::Admin, Body::Empty).await.json();
    assert_eq!(status["master_key"], turned.json()["fingerprint"]);
    let token = json!({"expires_in": 60});
    let token = t.quietly(Method::POST, "/access/api/v1/tokens", As::Admin, Body::Json(token)).await;
    assert_eq!(token.status.as_u16(), 200, "{}", token.text);
    t.note("the only node can't be lost, and nobody can't");
    t.ask(Method::POST, "/circlet/v1/cluster/nodes/node1/lost", As::Admin, Body::Empty).await;
    t.ask(Method::POST, "/circlet/v1/cluster/nodes/nobody/lost", As::Admin, Body::Empty).await;
});

transcript_test!(nodes_that_go, async |t: &mut Transcript<'_>| {
    let user = json!({"username": "ann", "email": "", "password": "secret word"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    let ann = As::Password("ann", "secret word");
    let node = joined(t, "node-2").await;
    t.note("a node is removed, by an administrator, and once");
    let named = format!("{NODES}/node-2");
    t.ask(Method::DELETE, &named, As::Nobody, Body::Empty).await;
    t.ask(Method::DELETE, &named, ann.clone(), Body::Empty).await;
    t.ask(Method::DELETE, &named, As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, &named, As::Admin, Body::Empty).await;
    drop(node);
    t.note("one whose disk somebody may have");
    let node = joined(t, "node-3").await;
    let named = format!("{NODES}/node-3/lost");
    t.ask(Method::POST, &named, As::Nobody, Body::Empty).await;
    t.ask(Method::POST, &named, ann, Body::Empty).await;
    let lost = t.ask(Method::POST, &named, As::Admin, Body::Empty).await;
    t.note("asked again, it is what it was");
    let again = t.ask(Method::POST, &named, As::Admin, Body::Empty).await;
    assert_eq!(lost.json(), again.json());
    drop(node);
});

/// Another node of the cluster, once it votes.
async fn joined(t: &Transcript<'_>, name: &str) -> Server {
    let minted = t.quietly(Method::POST, "/circlet/v1/cluster/tokens", As::Admin, Body::Empty).await;
    let node = Server::join(&minted.field("token"), name);
    let votes = async {
        loop {
            let status = t.quietly(Method::GET, "/circlet/v1/cluster", As::Admin, Body::Empty).await.json();
            let mut nodes = status["nodes"].as_array().unwrap().iter();
            if nodes.any(|node| node["name"] == name && node["role"] == "voter") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), votes).await.unwrap();
    node
}

/// What a node tells of itself lags behind what it does.
async fn until_all_is_told(t: &Transcript<'_>) {
    let told = async {
        loop {
            let status = t.quietly(Method::GET, "/circlet/v1/cluster", As::Admin, Body::Empty).await.json();
            let known = ["/leader", "/applied", "/last_log", "/view_age_ms"]
                .iter()
                .all(|field| status.pointer(field).is_some_and(|value| !value.is_null()));
            if known && status["role"] == "leader" && status["nodes"][0]["leader"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
}
