//! A cluster that grows, moves and shrinks while clients go on: none of them notices, if its load balancer takes a node
//! out of rotation before the node leaves.

use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Turn;
use super::eventually::eventually;
use super::http::{Auth, Body, Endpoint};
use super::node::{Node, circlet};
use super::ports::Ports;
use super::promises::READY_WITHIN;
use super::rotation::Rotation;
use super::tokens::TOKENS;

/// What is needed to let nodes come and go.
struct Operator {
    folder: tempfile::TempDir,
    password: String,
    rotation: Arc<Rotation>,
}

impl Operator {
    fn admin(&self) -> Auth<'_> {
        Auth::Password("admin", &self.password)
    }

    fn prepare(&self, name: &str) -> Node {
        let settings = settings(name);
        Node::prepare(&self.folder.path().join(name), &settings, "")
    }

    /// A new node joins through another, and is put into rotation when it is ready.
    async fn join(&self, through: &Endpoint, name: &str, flags: &[&str]) -> (Node, Endpoint) {
        let mut node = self.prepare(name);
        let token = through.post("/circlet/v1/cluster/tokens", self.admin(), Body::Json(json!({}))).await;
        let token = token.member("token");
        let arguments: Vec<&str> =
            ["join", "--token", &token].into_iter().chain(flags.iter().copied()).collect();
        circlet(&arguments, &node.home).await;
        node.start();
        let endpoint = Endpoint::new(&node.url);
        ready(&endpoint).await;
        self.rotation.add(&endpoint);
        (node, endpoint)
    }

    /// Waits until the cluster has so many voters, and all nodes with these roles.
    async fn voters(&self, through: &Endpoint, count: usize) -> Value {
        eventually(READY_WITHIN, &format!("{count} nodes vote"), || async {
            let status = self.status(through).await?;
            let nodes = status["nodes"].as_array()?.clone();
            let voters = nodes.iter().filter(|node| node["role"] == "voter").count();
            (voters == count && !status["leader"].is_null()).then_some(status)
        })
        .await
    }

    async fn status(&self, through: &Endpoint) -> Option<Value> {
        let answer =
            through.send(Method::GET, "/circlet/v1/cluster/status", self.admin(), Body::Empty).await.ok()?;
        (answer.status == 200).then(|| serde_json::from_str(&answer.text).expect("the status is JSON"))
    }

    /// Takes a node out of rotation, removes it, and waits until its process has ended by itself.
    async fn remove(&self, through: &Endpoint, mut node: Node) {
        self.rotation.take_out(&node.url);
        self.rotation.settle().await;
        let path = format!("/circlet/v1/cluster/nodes/{}", node.name);
        eventually(READY_WITHIN, "the node is removed", || async {
            let answer = through.send(Method::DELETE, &path, self.admin(), Body::Empty).await.ok()?;
            matches!(answer.status, 204 | 404).then_some(())
        })
        .await;
        let ended = eventually(READY_WITHIN, "a removed node ends", || {
            let ended = node.ended();
            async move { ended }
        })
        .await;
        assert_eq!(ended.code(), Some(1), "{}", node.said());
        assert!(node.said().contains("was removed from cluster"), "{}", node.said());
    }
}

fn settings(name: &str) -> String {
    let text = format!("name: {name}\nhttp:\n  listen: 127.0.0.1:1\npeer:\n  listen: 127.0.0.1:2\n");
    Ports::default().substituted(&text)
}

async fn ready(endpoint: &Endpoint) {
    eventually(READY_WITHIN, "the node is ready", || async {
        let answer = endpoint.send(Method::GET, "/readyz", Auth::Nobody, Body::Empty).await;
        answer.ok().filter(|answer| answer.status == 200).map(drop)
    })
    .await;
}

fn of<'a>(status: &'a Value, name: &str) -> &'a Value {
    let nodes = status["nodes"].as_array().expect("nodes");
    nodes.iter().find(|node| node["name"] == name).unwrap_or(&Value::Null)
}

/// Starts a node with other ports in its settings.
fn move_to_other_ports(node: &mut Node, home: &Path) {
    node.kill();
    let settings = settings(&node.name);
    *node = Node::prepare(home, &settings, "");
    node.start();
}

#[tokio::test]
async fn a_cluster_grows_moves_and_shrinks_without_a_failed_plain_request() {
    let _turn = Turn::wait().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rotation = Arc::new(Rotation::default());
    let mut operator = Operator { folder, password: String::new(), rotation: Arc::clone(&rotation) };
    let mut first = operator.prepare("node-1");
    let founded = circlet(&["init"], &first.home).await;
    operator.password = founded["admin"]["password"].as_str().expect("a password").to_owned();
    first.start();
    let one = Endpoint::new(&first.url);
    ready(&one).await;
    rotation.add(&one);
    let group = Body::Json(json!({ "name": "readers" }));
    one.put("/artifactory/api/security/groups/readers", operator.admin(), group).await;
    let body = json!({ "scope": "applied-permissions/admin", "expires_in": 14_400 });
    let admin = one.post(TOKENS, operator.admin(), Body::Json(body)).await.member("access_token");
    let client = tokio::spawn(Arc::clone(&rotation).run(admin));

    let mut nodes = Vec::new();
    for name in ["node-2", "node-3"] {
        nodes.push(operator.join(&one, name, &[]).await.0);
    }
    operator.voters(&one, 3).await;
    for name in ["node-4", "node-5"] {
        nodes.push(operator.join(&one, name, &[]).await.0);
    }
    operator.voters(&one, 5).await;
    let (extra, _) = operator.join(&one, "extra", &["--learner"]).await;

    // A node moves: it is found under its new addresses, and goes on with its log.
    let mut moved = nodes.remove(0);
    rotation.take_out(&moved.url);
    rotation.settle().await;
    let home = moved.home.clone();
    move_to_other_ports(&mut moved, &home);
    let endpoint = Endpoint::new(&moved.url);
    ready(&endpoint).await;
    rotation.add(&endpoint);
    eventually(READY_WITHIN, "the others know where it is", || async {
        (of(&operator.status(&one).await?, "node-2")["url"] == moved.url).then_some(())
    })
    .await;

    // One that joined as a learner has caught up long ago, and has no vote.
    let status = operator.voters(&one, 5).await;
    assert_eq!(of(&status, "extra")["role"], "learner");
    operator.remove(&one, extra).await;
    for node in nodes {
        operator.remove(&one, node).await;
    }
    operator.remove(&one, moved).await;
    operator.voters(&one, 1).await;

    rotation.ended_well(client).await;
}
