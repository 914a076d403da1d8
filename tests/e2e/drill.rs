//! `circlet drill` against real nodes: what it breaks is broken, what it reports is so, and its exit status says it.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::promises::READY_WITHIN;

/// Runs a drill as the administrator: its exit status, its report, its talk.
async fn drill(cluster: &Cluster, ask: usize, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_circlet"))
        .args(["drill", "--output", "json", "--rate", "10"])
        .args(arguments)
        .env("CIRCLET_URL", cluster.endpoint(ask).url())
        .env("CIRCLET_ACCESS_TOKEN", &cluster.admin_token)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the program runs");
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {talk}"));
    (output.status.code(), report, talk)
}

/// What programs read of a report: these names don't change, and the numbers are numbers.
fn assert_says_all(report: &Value) {
    for number in ["write_gap_ms", "plain_failed", "lost_acks", "stale_accepts", "double_refreshes"] {
        assert!(report[number].is_u64(), "{number}: {report:#}");
    }
    let elections = report["elections"].as_array();
    assert!(elections.is_some_and(|won| won.iter().all(|one| one["took_ms"].is_u64())), "{report:#}");
}

fn assert_nothing_is_broken(report: &Value) {
    assert_says_all(report);
    for must_be_zero in ["lost_acks", "acks_unanswered", "stale_accepts", "double_refreshes"] {
        assert_eq!(report[must_be_zero], 0, "{must_be_zero}: {report:#}");
    }
    for operation in ["issue", "verify", "refresh", "revoke"] {
        let done = report["operations"][operation]["done"].as_u64();
        assert!(done.is_some_and(|done| done > 5), "{operation} went on: {report:#}");
    }
    assert!(report["acks_asked_for"].as_u64().is_some_and(|asked| asked > 20), "{report:#}");
}

#[tokio::test]
async fn a_drill_kills_the_leader_and_tells_what_clients_noticed() {
    let cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let survivor = cluster.others(leader)[0];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let picture = folder.path().join("timeline.svg");
    let arguments = [
        &["--length", "8s", "--after", "2s", "--kill-leader", "--max-write-gap", "1m", "--timeline"][..],
        &[picture.to_str().expect("UTF-8")],
    ]
    .concat();
    let (code, report, talk) = drill(&cluster, survivor, &arguments).await;
    assert_eq!(code, Some(0), "{talk}\n{report:#}");
    assert_nothing_is_broken(&report);
    assert!(report["elections"].as_array().is_some_and(|won| !won.is_empty()), "{report:#}");
    assert_eq!(
        report["unreachable"].as_array().map(Vec::len),
        Some(1),
        "the killed node is gone: {report:#}"
    );
    assert_eq!(report["not_back"], serde_json::json!([]), "and nobody runs without being back: {report:#}");
    let picture = std::fs::read_to_string(&picture).expect("a picture");
    assert!(picture.starts_with("<svg ") && picture.contains("killed, which led"), "{picture}");
}

#[tokio::test]
async fn a_drill_that_misses_an_objective_says_which_and_ends_with_1() {
    let cluster = Cluster::start("three-node").await;
    let arguments = ["--length", "3s", "--after", "1s", "--command", "exit 0", "--max-write-gap", "1ms"];
    let (code, report, talk) = drill(&cluster, 0, &arguments).await;
    assert_eq!(code, Some(1), "{talk}");
    assert_nothing_is_broken(&report);
    assert_eq!(report["passed"], false);
    let missed = report["missed"][0].as_str().unwrap_or_default();
    assert!(missed.starts_with("longest gap of writes"), "{report:#}");
    assert!(talk.contains(missed), "{talk}");
}

#[tokio::test]
async fn a_drill_that_is_interrupted_lets_the_paused_leader_go_on() {
    let cluster = Cluster::start("three-node").await;
    let leader = cluster.leader(&cluster.all()).await;
    let survivor = cluster.others(leader)[0];
    let mut child = Command::new(env!("CARGO_BIN_EXE_circlet"))
        .args(["drill", "--rate", "5", "--length", "10m", "--after", "1s", "--pause", "9m"])
        .env("CIRCLET_URL", cluster.endpoint(survivor).url())
        .env("CIRCLET_ACCESS_TOKEN", &cluster.admin_token)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let others = cluster.others(leader);
    eventually(READY_WITHIN, "the others lead", || async {
        let status = cluster.status(survivor).await?;
        let heir =
            others.iter().any(|number| status["leader"] == id_of(&status, cluster.endpoint(*number).url()));
        heir.then_some(())
    })
    .await;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, Signal::TERM).expect("it is ours");
    assert_eq!(child.wait().await.expect("it ends").code(), Some(1));
    cluster.ready(leader).await;
}

/// The Raft id of the node at this address.
fn id_of(status: &Value, url: &str) -> Value {
    let nodes = status["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    nodes.iter().find(|node| node["url"] == url).map_or(Value::from(0), |node| node["id"].clone())
}
