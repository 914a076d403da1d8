//! A disk that takes no more: the node stops itself, says why and leaves with 2; what it had acknowledged is there when
//! the disk is well again.

use std::time::Instant;

use reqwest::Method;

use super::cluster::Cluster;
use super::http::{Auth, Body};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, TOKENS, create_body};

/// Asks for recorded tokens until the node has ended by itself. Returns the ids of those that were acknowledged, and the
/// exit status.
async fn create_until_the_end(cluster: &mut Cluster) -> (Vec<String>, Option<i32>) {
    let begun = Instant::now();
    let mut acknowledged = Vec::new();
    loop {
        if let Some(ended) = cluster.ended(0) {
            return (acknowledged, ended.code());
        }
        assert!(begun.elapsed() < READY_WITHIN, "it still runs, after {} tokens", acknowledged.len());
        let auth = Auth::Token(&cluster.admin_token);
        let body = Body::Json(create_body(LONG_SECS, false));
        // What is asked while it ends has no answer.
        if let Ok(answer) = cluster.endpoint(0).send(Method::POST, TOKENS, auth, body).await
            && answer.status == 200
        {
            acknowledged.push(answer.member("token_id"));
        }
    }
}

/// The node is well again, and has every one of these.
async fn assert_all_there(cluster: &mut Cluster, acknowledged: &[String]) {
    cluster.restart(0);
    cluster.ready(0).await;
    for id in acknowledged {
        let known =
            cluster.endpoint(0).get(&format!("{TOKENS}/{id}"), Auth::Token(&cluster.admin_token)).await;
        assert_eq!(known.status, 200, "{id} was acknowledged: {}", known.text);
    }
}

#[tokio::test]
async fn a_log_that_takes_no_more_stops_the_node_which_says_why_and_loses_nothing() {
    let mut cluster = Cluster::start("single").await;
    cluster.kill(0);
    let log = std::fs::metadata(cluster.home(0).join("data/raft/db")).expect("the log's file");
    // As a full disk does, the limit refuses what would make the file longer.
    cluster.restart_with_files_up_to(0, log.len());
    cluster.ready(0).await;
    let (acknowledged, code) = create_until_the_end(&mut cluster).await;
    let said = cluster.said(0);
    assert_eq!(code, Some(2), "{said}");
    let last = said.lines().rev().take(10).collect::<Vec<_>>().join("\n");
    assert!(last.contains("the node has stopped itself"), "{last}");
    assert!(last.contains("File too large"), "the cause is named: {last}");
    assert_all_there(&mut cluster, &acknowledged).await;
}

#[tokio::test]
async fn a_first_snapshot_that_cannot_be_written_stops_the_node_which_says_why_and_loses_nothing() {
    let mut cluster = Cluster::start_with("single", "raft.snapshot-log-bytes: 20000\n").await;
    let snapshots = cluster.home(0).join("data/snapshots");
    std::fs::remove_dir_all(&snapshots).expect("the folder of snapshots");
    std::fs::write(&snapshots, "no folder").expect("a file in its place");
    let (acknowledged, code) = create_until_the_end(&mut cluster).await;
    let said = cluster.said(0);
    assert_eq!(code, Some(2), "{said}");
    let last = said.lines().rev().take(10).collect::<Vec<_>>().join("\n");
    assert!(last.contains("the node has stopped itself"), "{last}");
    assert!(
        last.contains("data/snapshots") && last.contains("Not a directory"),
        "the cause is named: {last}"
    );
    assert!(acknowledged.len() > 5, "it served until then: {}", acknowledged.len());

    std::fs::remove_file(&snapshots).expect("put right");
    assert_all_there(&mut cluster, &acknowledged).await;
}
