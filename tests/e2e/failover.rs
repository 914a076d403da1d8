//! The leader is killed while clients are at work.

use std::time::{Duration, Instant};

use reqwest::Method;

use super::cluster::Cluster;
use super::eventually::{eventually, until};
use super::http::{Auth, Body, Endpoint};
use super::load::{Load, Told};
use super::promises::{READY_WITHIN, REVOKED_WITHIN, WRITES_BACK_WITHIN};
use super::tokens::{LONG_SECS, Pair, TOKENS, create, create_body, refresh, refreshed, revoke, revoke_once};

/// What the clients have done before and after the fault, at least.
const PLAIN: usize = 60;
const REFRESHED: usize = 6;
const REVOKED: usize = 4;
const REFUSED: usize = 6;
/// Nobody elects a leader sooner, by itself, than 20 s after it heard of the last one.
const LONG_ELECTIONS: &str = "raft.election-min-ms: 20000\nraft.election-max-ms: 25000\n";
/// Half of that: so whoever leads by then was handed the lead.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(10);
const LEADER_CHANGES: &str = "circlet_raft_leader_changes_total";

#[tokio::test]
async fn the_loss_of_the_leader_costs_no_plain_token_and_no_acknowledged_write() {
    let mut cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let survivors = cluster.others(leader);
    let endpoints: Vec<_> = survivors.iter().map(|number| cluster.endpoint(*number)).collect();
    let load = Load::start(&endpoints, &cluster.admin_token);
    let before = work(&load, &Done::default()).await;
    let mut changes = Vec::new();
    for number in &survivors {
        changes.push(cluster.metric(*number, LEADER_CHANGES).await.expect("a count"));
    }

    cluster.kill(leader);
    let killed = Instant::now();
    let back = eventually(WRITES_BACK_WITHIN, "refresh and revoke resume", || async {
        load.told(|told| {
            let refreshed = told.refreshed_at.iter().find(|at| **at > killed + Duration::from_millis(200));
            let revoked = told.revoked.iter().find(|(_, at)| *at > killed + Duration::from_millis(200));
            Some((*refreshed?).max(revoked?.1))
        })
    })
    .await;
    println!("writes are back {} ms after the leader was killed", (back - killed).as_millis());
    work(&load, &before).await;
    for (number, before) in survivors.iter().zip(changes) {
        cluster.metric_reaches(*number, LEADER_CHANGES, before + 1.0).await;
    }
    let told = load.stop().await;
    until(Instant::now() + REVOKED_WITHIN).await;
    assert_kept_promises(&told);
    for number in &survivors {
        assert_all_is_there(cluster.endpoint(*number), &cluster.admin_token, &told).await;
    }

    cluster.restart(leader);
    cluster.ready(leader).await;
    assert_all_is_there(cluster.endpoint(leader), &cluster.admin_token, &told).await;
    a_healthy_cluster_decides(&cluster).await;
}

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over_first() {
    let mut cluster = Cluster::start_with("three-node", LONG_ELECTIONS).await;
    let leader = cluster.leader(&cluster.all()).await;
    let others = cluster.others(leader);
    let stopping = cluster.endpoint(leader).url().to_owned();
    cluster.terminate(leader);
    eventually(HANDED_OVER_WITHIN, "another node leads and decides", || async {
        let status = cluster.status(others[0]).await?;
        let nodes = status["nodes"].as_array()?;
        let led = nodes.iter().find(|node| node["id"] == status["leader"])?;
        if led["url"] == stopping.as_str() {
            return None;
        }
        let body = Body::Json(create_body(LONG_SECS, false));
        let auth = Auth::Token(&cluster.admin_token);
        let made = cluster.endpoint(others[1]).send(Method::POST, TOKENS, auth, body).await.ok()?;
        (made.status == 200).then_some(())
    })
    .await;
    let ended = eventually(READY_WITHIN, "the leader of before ends", || {
        let ended = cluster.ended(leader);
        async move { ended }
    })
    .await;
    assert_eq!(ended.code(), Some(0), "{}", cluster.said(leader));
}

/// How much the clients have done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    plain: usize,
    refreshed: usize,
    revoked: usize,
    refused: usize,
}

/// Waits until the clients have done enough since.
pub(crate) async fn work(load: &Load, since: &Done) -> Done {
    eventually(READY_WITHIN, "the clients work", || async {
        let done = load.told(|told| Done {
            plain: told.plain_done,
            refreshed: told.successors.len(),
            revoked: told.revoked.len(),
            refused: told.refused,
        });
        let enough = done.plain >= since.plain + PLAIN
            && done.refreshed >= since.refreshed + REFRESHED
            && done.revoked >= since.revoked + REVOKED
            && done.refused >= since.refused + REFUSED;
        // A failure is told at the end, where it says more.
        let failed = load.told(|told| !told.plain_failed.is_empty() || !told.wrong.is_empty());
        (enough || failed).then_some(done)
    })
    .await
}

pub(crate) fn assert_kept_promises(told: &Told) {
    assert!(
        told.plain_failed.is_empty(),
        "{} plain requests failed: {:#?}",
        told.plain_failed.len(),
        told.plain_failed
    );
    assert!(told.wrong.is_empty(), "{:#?}", told.wrong);
    for (refresh_token, successors) in &told.successors {
        assert_eq!(successors.len(), 1, "one refresh token, two successors: {refresh_token} {successors:#?}");
    }
}

/// Everything that was acknowledged is known at a node, and everything that was revoked is refused there.
pub(crate) async fn assert_all_is_there(node: &Endpoint, admin: &str, told: &Told) {
    let revoked: Vec<_> = told.revoked.iter().map(|(token, _)| token).collect();
    for token in revoked {
        let verdict = node.verify(token).await;
        assert_eq!(verdict.status, 401, "revoked, at {}: {}", node.url(), verdict.text);
    }
    for id in &told.created {
        let known = revoke(node, admin, id).await;
        assert!(matches!(known.status, 200 | 204), "created token {id} at {}: {}", node.url(), known.text);
    }
    for successors in told.successors.values() {
        // The last of each family is alive, and its predecessors are not.
        let (access, refresh_token) = &successors[0];
        let is_last = !told.successors.contains_key(refresh_token);
        let expected = if is_last { 200 } else { 401 };
        let verdict = node.verify(access).await;
        assert_eq!(verdict.status, expected, "a refreshed token at {}: {}", node.url(), verdict.text);
    }
}

async fn a_healthy_cluster_decides(cluster: &Cluster) {
    for node in cluster.endpoints() {
        let pair = Pair::of(&create(node, &cluster.admin_token, LONG_SECS, true).await);
        refreshed(&refresh(node, &pair).await);
    }
}

/// Shows that it holds from end to end; it does not show what makes it hold. The restarted node has the revoke on its own
/// disk and applies it within milliseconds, so that this passes as well, almost always, where nobody asks a quorum before
/// judging. That the quorum is asked is shown by the simulator, which must find the defects `leader-restore` and
/// `lease-reads` when they are planted.
#[tokio::test]
async fn a_leader_restarted_within_its_lease_accepts_nothing_that_was_revoked() {
    let mut cluster = Cluster::start("three-node").await;
    for _round in 0..3 {
        let leader = cluster.leader(&cluster.all()).await;
        let follower = cluster.others(leader)[0];
        let token = create(cluster.endpoint(follower), &cluster.admin_token, LONG_SECS, false).await;
        let (id, access) = (token.member("token_id"), token.member("access_token"));
        revoke(cluster.endpoint(follower), &cluster.admin_token, &id).await.assert_revoked();
        cluster.kill(leader);
        cluster.restart(leader);
        // From its first answer on: whatever it says of this token, it is not "accepted".
        let node = cluster.endpoint(leader);
        eventually(READY_WITHIN, "the restarted node judges", || async {
            let verdict = node.verify_once(&access).await.ok()?;
            assert_ne!(
                verdict.status, 200,
                "a revoked token was accepted after the restart: {}",
                verdict.text
            );
            (verdict.status == 401).then_some(())
        })
        .await;
        cluster.ready(leader).await;
    }
    let listed = cluster.endpoint(0).get(TOKENS, Auth::Token(&cluster.admin_token)).await;
    assert_eq!(listed.status, 200, "{}", listed.text);
}

#[tokio::test]
async fn a_leader_that_slept_accepts_nothing_that_was_revoked_meanwhile() {
    let cluster = Cluster::start("three-node").await;
    for _round in 0..3 {
        let sleeper = cluster.leader(&cluster.all()).await;
        let others = cluster.others(sleeper);
        let token = create(cluster.endpoint(sleeper), &cluster.admin_token, LONG_SECS, false).await;
        let (id, access) = (token.member("token_id"), token.member("access_token"));
        assert_eq!(cluster.endpoint(sleeper).verify(&access).await.status, 200);
        cluster.pause(sleeper);
        let acknowledged = eventually(WRITES_BACK_WITHIN, "the others revoke without it", || async {
            let answer = revoke_once(cluster.endpoint(others[0]), &cluster.admin_token, &id).await.ok()?;
            matches!(answer.status, 200 | 204).then(Instant::now)
        })
        .await;
        until(acknowledged + REVOKED_WITHIN).await;
        // Sent while it sleeps, so that they are the first thing it sees: it still believes that it leads.
        let node = cluster.endpoint(sleeper).clone();
        let asked: Vec<_> = (0..8)
            .map(|_| {
                let (node, access) = (node.clone(), access.clone());
                tokio::spawn(async move { node.verify_once(&access).await })
            })
            .collect();
        until(Instant::now() + Duration::from_millis(200)).await;
        cluster.resume(sleeper);
        for verdict in asked {
            let verdict = verdict.await.expect("not cancelled").expect("an answer");
            assert!(
                matches!(verdict.status, 401 | 503),
                "a revoked token: {} {}",
                verdict.status,
                verdict.text
            );
        }
        eventually(WRITES_BACK_WITHIN, "it has heard of the revocation", || async {
            let verdict = node.verify(&access).await;
            assert_ne!(verdict.status, 200, "{}", verdict.text);
            (verdict.status == 401).then_some(())
        })
        .await;
    }
}
