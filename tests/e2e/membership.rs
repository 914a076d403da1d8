//! A cluster that grows, moves and shrinks while clients go on: none of them notices, if its load balancer takes a node
//! out of rotation before the node leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Turn;
use super::eventually::{eventually, until};
use super::http::{Auth, Body, Endpoint};
use super::node::{Node, circlet};
use super::ports::Ports;
use super::promises::READY_WITHIN;
use super::rotation::Rotation;
use super::tokens::TOKENS;

/// Every second each node is asked what is on its disk.
const TOLD_WITHIN: Duration = Duration::from_secs(2);

/// What is needed to let nodes come and go.
pub(crate) struct Operator {
    folder: tempfile::TempDir,
    password: String,
    rotation: Arc<Rotation>,
}

impl Operator {
    /// Founds a cluster of one node. Returns it, where it serves, and a token of the administrator.
    pub(crate) async fn found() -> (Self, Node, Endpoint, String) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut operator = Self { folder, password: String::new(), rotation: Arc::default() };
        let mut first = operator.prepare("node-1");
        let founded = circlet(&["init"], &first.home).await;
        operator.password = founded["admin"]["password"].as_str().expect("a password").to_owned();
        first.start();
        let one = Endpoint::new(&first.url);
        ready(&one).await;
        operator.rotation.add(&one);
        let group = Body::Json(json!({ "name": "readers" }));
        one.put("/artifactory/api/security/groups/readers", operator.admin(), group).await;
        let body = json!({ "scope": "applied-permissions/admin", "expires_in": 14_400 });
        let admin = one.post(TOKENS, operator.admin(), Body::Json(body)).await.member("access_token");
        (operator, first, one, admin)
    }

    fn admin(&self) -> Auth<'_> {
        Auth::Password("admin", &self.password)
    }

    fn prepare(&self, name: &str) -> Node {
        let settings = settings(name);
        Node::prepare(&self.folder.path().join(name), &settings, "")
    }

    /// A new node joins through another, and is put into rotation when it is ready.
    pub(crate) async fn join(&self, through: &Endpoint, name: &str, flags: &[&str]) -> (Node, Endpoint) {
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
    pub(crate) async fn voters(&self, through: &Endpoint, count: usize) -> Value {
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

    /// Has a node lead.
    pub(crate) async fn lead(&self, through: &Endpoint, node: &Node) {
        eventually(READY_WITHIN, "the node leads", || async {
            let order = Body::Json(json!({ "to": node.name }));
            through.send(Method::POST, "/circlet/v1/cluster/leader", self.admin(), order).await.ok()?;
            let status = self.status(through).await?;
            (status["leader"].is_u64() && status["leader"] == of(&status, &node.name)["id"]).then_some(())
        })
        .await;
    }

    /// Has the cluster decide something, which changes nothing.
    pub(crate) async fn decide(&self, through: &Endpoint) {
        let group = Body::Json(json!({ "name": "readers" }));
        let decided = through.put("/artifactory/api/security/groups/readers", self.admin(), group).await;
        assert!(matches!(decided.status, 200 | 201), "{}", decided.text);
    }

    /// Puts what a node had on its disk before it went on back in the place of what it has: it must end, and join anew with
    /// an empty home.
    async fn set_back(&self, through: &Endpoint, mut node: Node) -> Node {
        self.rotation.take_out(&node.url);
        self.rotation.settle().await;
        let (data, former) = (node.home.join("data"), self.folder.path().join("former"));
        node.kill();
        copy(&data, &former);
        node.start();
        let endpoint = Endpoint::new(&node.url);
        ready(&endpoint).await;
        for _ in 0..3 {
            self.decide(through).await;
            eventually(READY_WITHIN, "the node goes on", || async {
                let (here, there) = (self.status(through).await?, self.status(&endpoint).await?);
                (here["applied"] == there["applied"]).then_some(())
            })
            .await;
        }
        until(Instant::now() + TOLD_WITHIN).await;
        node.kill();
        std::fs::remove_dir_all(&data).expect("the data of a node that was killed");
        copy(&former, &data);
        node.start();
        let ended = eventually(READY_WITHIN, "a node that was set back ends", || {
            let ended = node.ended();
            async move { ended }
        })
        .await;
        assert_eq!(ended.code(), Some(1), "{}", node.said());
        let why =
            format!("went back to an older state: {} lacks what the node had told its peers", data.display());
        assert!(node.said().contains(&why), "{}", node.said());
        self.let_go(through, &node.name).await;
        std::fs::remove_dir_all(&node.home).expect("the home of a node that has ended");
        self.join(through, &node.name.clone(), &[]).await.0
    }

    /// Has the cluster remove a node.
    async fn let_go(&self, through: &Endpoint, name: &str) {
        let path = format!("/circlet/v1/cluster/nodes/{name}");
        eventually(READY_WITHIN, "the node is removed", || async {
            let answer = through.send(Method::DELETE, &path, self.admin(), Body::Empty).await.ok()?;
            matches!(answer.status, 204 | 404).then_some(())
        })
        .await;
    }

    /// Takes a node out of rotation, and removes it.
    async fn remove(&self, through: &Endpoint, node: Node) {
        self.rotation.take_out(&node.url);
        self.rotation.settle().await;
        self.remove_now(through, node).await;
    }

    /// Removes a node, and waits until its process has ended by itself. Started again it ends again: with its key nobody
    /// speaks any more.
    pub(crate) async fn remove_now(&self, through: &Endpoint, mut node: Node) {
        self.let_go(through, &node.name).await;
        ended_as_removed(&mut node).await;
        std::fs::remove_file(node.home.join("logs/serve.log")).expect("the log of a node that has ended");
        node.start();
        ended_as_removed(&mut node).await;
    }
}

async fn ended_as_removed(node: &mut Node) {
    let ended = eventually(READY_WITHIN, "a removed node ends", || {
        let ended = node.ended();
        async move { ended }
    })
    .await;
    assert_eq!(ended.code(), Some(1), "{}", node.said());
    assert!(node.said().contains("was removed from cluster"), "{}", node.said());
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

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().expect("cp is there");
    assert!(copied.success(), "{} to {}", from.display(), to.display());
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
    let (operator, _first, one, admin) = Operator::found().await;
    let rotation = Arc::clone(&operator.rotation);
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

    // The disk of another one is set back.
    let last = nodes.pop().expect("three others");
    nodes.push(operator.set_back(&one, last).await);

    // One that joined as a learner has caught up long ago, and has no vote.
    let status = operator.voters(&one, 5).await;
    assert_eq!(of(&status, "extra")["role"], "learner");
    // Whoever asks it for its own removal is told that it is done.
    operator.remove(&Endpoint::new(&extra.url), extra).await;
    // Each of the others is removed while it leads, and another one leads then and decides.
    for node in nodes.into_iter().chain([moved]) {
        operator.lead(&one, &node).await;
        operator.remove(&one, node).await;
        operator.decide(&one).await;
    }
    operator.voters(&one, 1).await;

    rotation.ended_well(client).await;
}
