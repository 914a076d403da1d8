//! Two versions beside each other. They are one program that is told which feature level it supports; `scripts/upgrade`
//! does the same with two programs.

use std::sync::Arc;

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body};
use super::node::{Environment, Node, try_circlet};
use super::ports::Ports;
use super::promises::READY_WITHIN;
use super::rotation::Rotation;
use super::tokens::{LONG_SECS, TOKENS, create, revoke};

/// The program in the version that supports so much.
fn version(level: u32) -> Environment {
    vec![("CIRCLET_TEST_FEATURE_LEVEL", level.to_string())]
}

/// The feature level, and what each node supports.
fn levels(status: &Value) -> (u64, Vec<u64>) {
    let nodes = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let supports = nodes.iter().map(|node| node["supports"].as_u64().expect("what a node supports"));
    (status["feature_level"].as_u64().expect("a feature level"), supports.collect())
}

/// An upgrade under way, with a client behind a load balancer, and what was acknowledged meanwhile.
struct Upgrade {
    cluster: Cluster,
    rotation: Arc<Rotation>,
    kept: Vec<String>,
    revoked: Vec<String>,
}

impl Upgrade {
    /// Restarts one node in another version, and waits until the others know and it is back in rotation.
    async fn to(&mut self, number: usize, level: u32) {
        let endpoint = self.cluster.endpoint(number).clone();
        self.rotation.take_out(endpoint.url());
        self.rotation.settle().await;
        self.write(number).await;
        self.cluster.restart_told(number, &version(level));
        self.cluster.ready(number).await;
        self.rotation.add(&endpoint);
        for asked in self.cluster.all() {
            eventually(READY_WITHIN, "every node knows what it supports", || async {
                let (_, supports) = levels(&self.cluster.status(asked).await?);
                (supports[number] == u64::from(level)).then_some(())
            })
            .await;
        }
    }

    /// Two recorded tokens, of which one is revoked.
    async fn write(&mut self, through: usize) {
        let (node, admin) = (self.cluster.endpoint(through), &self.cluster.admin_token);
        let [kept, gone] =
            [create(node, admin, LONG_SECS, false).await, create(node, admin, LONG_SECS, false).await];
        revoke(node, admin, &gone.member("token_id")).await.assert_revoked();
        self.kept.push(kept.member("access_token"));
        self.revoked.push(gone.member("access_token"));
    }

    async fn assert_levels(&self, expected: (u64, [u64; 3])) {
        for number in self.cluster.all() {
            eventually(READY_WITHIN, &format!("levels {expected:?} at node {number}"), || async {
                let found = levels(&self.cluster.status(number).await?);
                (found == (expected.0, expected.1.to_vec())).then_some(())
            })
            .await;
        }
    }

    async fn assert_nothing_lost(&self) {
        for node in self.cluster.endpoints() {
            for token in &self.kept {
                assert_eq!(node.verify(token).await.status, 200);
            }
            for token in &self.revoked {
                assert_eq!(node.verify(token).await.status, 401);
            }
        }
    }
}

#[tokio::test]
async fn a_cluster_is_upgraded_node_by_node_and_back_until_every_node_supports_the_next_level() {
    let cluster = Cluster::start_told("three-node", &version(1)).await;
    let rotation = Arc::new(Rotation::default());
    for endpoint in cluster.endpoints() {
        rotation.add(endpoint);
    }
    let client = tokio::spawn(Arc::clone(&rotation).run(cluster.admin_token.clone()));
    let mut upgrade = Upgrade { cluster, rotation, kept: Vec::new(), revoked: Vec::new() };
    upgrade.assert_levels((1, [1, 1, 1])).await;

    upgrade.to(1, 2).await;
    upgrade.to(0, 2).await;
    upgrade.assert_levels((1, [2, 2, 1])).await;
    // And back, which is possible as long as one is left.
    upgrade.to(1, 1).await;
    upgrade.to(0, 1).await;
    upgrade.assert_levels((1, [1, 1, 1])).await;
    upgrade.to(0, 2).await;
    upgrade.to(1, 2).await;
    upgrade.assert_levels((1, [2, 2, 1])).await;
    upgrade.to(2, 2).await;
    upgrade.assert_levels((2, [2, 2, 2])).await;
    upgrade.write(0).await;
    upgrade.assert_nothing_lost().await;

    // Now the older version can't read what is written.
    let endpoint = upgrade.cluster.endpoint(1).clone();
    upgrade.rotation.take_out(endpoint.url());
    upgrade.rotation.settle().await;
    upgrade.cluster.restart_told(1, &version(1));
    let ended = eventually(READY_WITHIN, "the older version ends", || {
        let ended = upgrade.cluster.ended(1);
        async move { ended }
    })
    .await;
    assert_ne!(ended.code(), Some(0));
    let said = upgrade.cluster.said(1);
    assert!(said.contains("the cluster writes at feature level 2"), "{said}");
    assert!(said.contains("reads up to 1; run the newer version here"), "{said}");
    an_older_node_does_not_join(&upgrade.cluster).await;
    upgrade.cluster.restart_told(1, &version(2));
    upgrade.cluster.ready(1).await;
    upgrade.rotation.add(&endpoint);
    upgrade.assert_nothing_lost().await;
    let rotation = Arc::clone(&upgrade.rotation);
    rotation.ended_well(client).await;
}

async fn an_older_node_does_not_join(cluster: &Cluster) {
    let admin = Auth::Token(&cluster.admin_token);
    let minted = cluster.endpoint(0).post("/circlet/v1/cluster/tokens", admin, Body::Json(json!({}))).await;
    let folder = tempfile::tempdir().expect("a folder");
    let settings = "name: older\nhttp:\n  listen: 127.0.0.1:1\npeer:\n  listen: 127.0.0.1:2\n";
    let node = Node::prepare(folder.path(), &Ports::default().substituted(settings), "");
    let token = minted.member("token");
    let refused = try_circlet(&["join", "--token", &token], &node.home, &version(1)).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    assert!(said.contains("writes at feature level 2, and this node supports up to 1"), "{said}");
    let (_, supports) = levels(&cluster.status(0).await.expect("a status"));
    assert_eq!(supports.len(), 3, "nobody was admitted");
    assert_eq!(cluster.endpoint(0).get(TOKENS, admin).await.status, 200);
}
