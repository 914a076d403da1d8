//! Nodes that come back: from the log, from a snapshot, all at once.

use std::time::Instant;

use reqwest::Method;

use super::cluster::Cluster;
use super::eventually::{eventually, until};
use super::http::{Auth, Body, Endpoint};
use super::promises::{READY_WITHIN, REVOKED_WITHIN, WRITES_BACK_WITHIN};
use super::tokens::{LONG_SECS, PLAIN_SECS, Pair, TOKENS, create, create_body, refresh, refreshed, revoke};

/// A snapshot is due after so little that the tests reach it.
const SMALL_SNAPSHOTS: &str = "raft.snapshot-log-bytes: 20000\n";
/// Enough writes for several snapshots at that size.
const MANY: usize = 300;

/// Recorded tokens, and of every other one the revocation.
struct Written {
    alive: Vec<(String, String)>,
    revoked: Vec<String>,
}

async fn write(node: &Endpoint, admin: &str, count: usize) -> Written {
    let mut written = Written { alive: Vec::new(), revoked: Vec::new() };
    for turn in 0..count {
        let token = create(node, admin, LONG_SECS, false).await;
        assert_eq!(token.status, 200, "{}", token.text);
        let (id, access) = (token.member("token_id"), token.member("access_token"));
        if turn % 2 == 0 {
            written.alive.push((id, access));
        } else {
            let answer = revoke(node, admin, &id).await;
            answer.assert_revoked();
            written.revoked.push(access);
        }
    }
    written
}

async fn assert_known(node: &Endpoint, admin: &str, written: &Written) {
    for (id, access) in &written.alive {
        let record = node.get(&format!("{TOKENS}/{id}"), Auth::Token(admin)).await;
        assert_eq!(record.status, 200, "{id} at {}: {}", node.url(), record.text);
        let verdict = node.verify(access).await;
        assert_eq!(verdict.status, 200, "{id} at {}: {}", node.url(), verdict.text);
    }
    for access in &written.revoked {
        let verdict = node.verify(access).await;
        assert_eq!(verdict.status, 401, "revoked, at {}: {}", node.url(), verdict.text);
    }
}

#[tokio::test]
async fn a_node_that_was_away_catches_up_from_the_log() {
    let mut cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let away = cluster.others(leader)[0];
    cluster.kill(away);
    // Also right after it was heard last.
    assert_the_last_majority_stays(&cluster, leader, away).await;
    let written = write(cluster.endpoint(leader), &cluster.admin_token, 20).await;
    cluster
        .metric_reaches(leader, &format!("circlet_raft_peer_lag_entries{{node=\"node-{}\"}}", away + 1), 20.0)
        .await;
    cluster.restart(away);
    cluster.ready(away).await;
    assert_known(cluster.endpoint(away), &cluster.admin_token, &written).await;
    let status = cluster.status(away).await.expect("a status");
    assert!(snapshot_index(&status).is_none_or(|index| index == 0), "no snapshot was needed: {status}");
}

/// While one of three is away, neither of the others can be removed; the refusal says why, and what to do.
async fn assert_the_last_majority_stays(cluster: &Cluster, leader: usize, away: usize) {
    let status = cluster.status(leader).await.expect("a status");
    let id = |number: usize| {
        let name = format!("node-{}", number + 1);
        let nodes = status["nodes"].as_array().expect("nodes");
        nodes.iter().find(|node| node["name"] == *name).expect("a node")["id"].as_u64().expect("an id")
    };
    for number in cluster.others(away) {
        let path = format!("/circlet/v1/cluster/nodes/node-{}", number + 1);
        let refused = cluster.endpoint(leader).ask(Method::DELETE, &path, cluster.admin(), Body::Empty).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        let numbers = format!(
            "without node {} there would be no majority: of the 2 voters that would be left, 1 answer, and {} not",
            id(number),
            id(away)
        );
        for part in [numbers.as_str(), "bring those back, or remove them first", "circlet recover"] {
            assert!(refused.text.contains(part), "{part} is missing: {}", refused.text);
        }
    }
}

#[tokio::test]
async fn a_node_that_was_away_for_long_catches_up_from_a_snapshot() {
    let mut cluster = Cluster::start_with("three-node", SMALL_SNAPSHOTS).await;
    let leader = cluster.leader(&cluster.all()).await;
    let away = cluster.others(leader)[0];
    cluster.kill(away);
    let written = write(cluster.endpoint(leader), &cluster.admin_token, MANY).await;
    let taken = eventually(WRITES_BACK_WITHIN, "the leader has taken a snapshot", || async {
        snapshot_index(&cluster.status(leader).await?).filter(|index| *index > 0)
    })
    .await;
    cluster.restart(away);
    cluster.ready(away).await;
    assert_known(cluster.endpoint(away), &cluster.admin_token, &written).await;
    let status = cluster.status(away).await.expect("a status");
    let installed = snapshot_index(&status).unwrap_or_default();
    assert!(installed > 0, "a snapshot was installed (the leader's is at {taken}): {status}");
}

#[tokio::test]
async fn all_nodes_killed_at_once_come_back_with_everything_acknowledged() {
    for settings in ["", SMALL_SNAPSHOTS] {
        let mut cluster = Cluster::start_with("three-node", settings).await;
        let count = if settings.is_empty() { 40 } else { MANY };
        let written = write(cluster.endpoint(0), &cluster.admin_token, count).await;
        let plain =
            create(cluster.endpoint(1), &cluster.admin_token, PLAIN_SECS, false).await.member("access_token");
        let pair = Pair::of(&create(cluster.endpoint(2), &cluster.admin_token, LONG_SECS, true).await);
        let first = refreshed(&refresh(cluster.endpoint(2), &pair).await);
        for number in cluster.all() {
            cluster.kill(number);
        }
        for number in cluster.all() {
            cluster.restart(number);
        }
        for number in cluster.all() {
            cluster.ready(number).await;
            let node = cluster.endpoint(number);
            assert_known(node, &cluster.admin_token, &written).await;
            assert_eq!(node.verify(&plain).await.status, 200, "an old plain token");
            let again = refreshed(&refresh(node, &pair).await);
            assert_eq!(again, first, "a refresh repeated after the restart, at {}", node.url());
        }
    }
}

#[tokio::test]
async fn a_follower_cut_off_keeps_plain_tokens_going_and_fails_closed_for_the_others() {
    let cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let alone = cluster.others(leader)[0];
    let node = cluster.endpoint(alone);
    let revocable = create(node, &cluster.admin_token, LONG_SECS, false).await.member("access_token");
    assert_eq!(node.verify(&revocable).await.status, 200);
    for number in cluster.others(alone) {
        cluster.pause(number);
    }
    let paused = Instant::now();
    until(paused + REVOKED_WITHIN).await;
    let verdict = node.verify_once(&revocable).await.expect("an answer");
    assert_eq!(verdict.status, 503, "a revocable token, with nobody to ask: {}", verdict.text);
    cluster.metric_reaches(alone, "circlet_freshness_age_seconds", 2.0).await;
    let plain = create(node, &cluster.admin_token, PLAIN_SECS, false).await;
    assert_eq!(plain.status, 200, "{}", plain.text);
    let verdict = node.verify(&plain.member("access_token")).await;
    assert_eq!(verdict.status, 200, "{}", verdict.text);
    let body = Body::Json(create_body(LONG_SECS, false));
    let recorded = node.send(Method::POST, TOKENS, Auth::Token(&cluster.admin_token), body).await;
    let recorded = recorded.expect("an answer");
    assert_eq!(recorded.status, 503, "a write that nobody can decide: {}", recorded.text);
    for number in cluster.others(alone) {
        cluster.resume(number);
    }
    eventually(READY_WITHIN, "the node is fresh again", || async {
        (node.verify(&revocable).await.status == 200).then_some(())
    })
    .await;
    eventually(READY_WITHIN, "its page shows that", || async {
        cluster.metric(alone, "circlet_freshness_age_seconds").await.filter(|age| *age < 2.0)
    })
    .await;
}

fn snapshot_index(status: &serde_json::Value) -> Option<u64> {
    status["snapshot"].as_u64()
}
