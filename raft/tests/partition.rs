//! Replicas over a network in memory: what a cut-off node may claim, and what a wrong clock may not.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/lines.rs"]
mod lines;
#[path = "support/wires.rs"]
mod wires;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use circlet_raft::log_store::COMMAND_BYTES_MAX;
use circlet_raft::network::Lane;
use circlet_raft::{Clocks, ProposeError};
use futures::StreamExt;
use lines::{BOMB, NONSENSE};
use wires::{Wires, three, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_leader_is_never_credited_with_freshness_after_the_cut() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    nodes[2].0.propose(b"before".to_vec()).await.unwrap();
    until("the founder is fresh", || nodes[0].0.published().fresh_as_of.is_some()).await;
    assert_eq!(nodes[0].0.status().leader, Some(1));

    wires.isolate(1);
    let cut = nodes[0].1.now();
    let mut acknowledged = None;
    while acknowledged.is_none() {
        acknowledged = nodes[1].0.propose(b"after".to_vec()).await.ok();
    }
    let (lost, clocks) = &nodes[0];
    assert!(lost.fresh(None).await.is_err());
    assert!(lost.fresh(Some(cut)).await.is_err());
    let published = lost.published();
    assert!(!published.view.lines.contains_key("after"));
    assert!(published.fresh_as_of.unwrap().boot_ms <= cut.boot_ms, "nothing after the cut is credited");
    let now = clocks.now();
    assert!(published.age_ms(now).unwrap() >= now.boot_ms - cut.boot_ms, "its age grows");
    let orphan = lost.propose(b"orphan".to_vec()).await;
    assert!(matches!(orphan, Err(ProposeError::Unknown(_) | ProposeError::Unavailable(_))), "{orphan:?}");

    wires.heal();
    until("it is fresh again", || lost.published().fresh_as_of.unwrap().boot_ms > now.boot_ms).await;
    let published = lost.fresh(Some(now)).await.unwrap();
    assert!(published.view.lines.contains_key("after"), "fresh means that it holds what was acknowledged");
    assert!(published.index >= acknowledged.unwrap().index);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_clock_jumps_hands_over_and_stamps_nothing() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    nodes[0].0.propose(b"before".to_vec()).await.unwrap();
    nodes[0].1.0.store(3_600_000, Ordering::SeqCst);
    let refused = nodes[0].0.propose(b"an hour ahead".to_vec()).await;
    assert!(matches!(refused, Err(ProposeError::Unavailable(_))), "{refused:?}");
    until("another leads", || nodes[1].0.status().leader.is_some_and(|leader| leader != 1)).await;
    nodes[0].0.propose(b"by another's clock".to_vec()).await.unwrap();
    let view = nodes[0].0.published();
    assert!(!view.view.lines.contains_key("an hour ahead"));
    assert!(view.view.now_ms < nodes[0].1.wall_ms() - 3_000_000, "the state's time didn't jump");
    until("its own status says so", || nodes[0].0.status().clock_offset_ms.is_some_and(|ms| ms > 3_000_000))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_applied_never_enters_the_log() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    let refused = nodes[1].0.propose(NONSENSE.as_bytes().to_vec()).await;
    assert_eq!(refused, Err(ProposeError::Refused("nonsense".to_owned())));
    let too_large = nodes[1].0.propose(vec![b'x'; COMMAND_BYTES_MAX + 1]).await;
    assert!(matches!(too_large, Err(ProposeError::Refused(_))));
    let large = nodes[1].0.propose(vec![b'x'; COMMAND_BYTES_MAX]).await.unwrap();
    until("it is everywhere", || nodes.iter().all(|(node, _)| node.published().index >= large.index)).await;
    assert!(nodes.iter().all(|(node, _)| node.status().stopped.is_none()), "{BOMB} was never proposed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_removed_loses_the_connections_it_has() {
    let home = tempfile::tempdir().unwrap();
    let wires = Arc::new(Wires::default());
    let nodes = three(&home, &wires).await;
    let mut removed = wires.open(3, 2, Lane::Calls).await;
    let mut member = wires.open(1, 2, Lane::Calls).await;
    nodes[0].0.remove(3).await.unwrap();
    let closed = tokio::time::timeout(std::time::Duration::from_secs(20), removed.rx.next()).await;
    assert!(matches!(closed, Ok(None)), "closed, and long before it would be for being idle");
    assert!(futures::poll!(member.rx.next()).is_pending(), "who is still a member keeps its own");
}
