//! A cluster that grows and shrinks under the whole load: not only plain tokens, and not from one client.

use std::time::Instant;

use super::cluster::Turn;
use super::eventually::until;
use super::failover::{Done, assert_all_is_there, assert_kept_promises, work};
use super::load::Load;
use super::membership::Operator;
use super::promises::REVOKED_WITHIN;

#[tokio::test]
async fn a_cluster_grows_to_five_nodes_and_shrinks_to_one_under_load_and_keeps_every_promise() {
    let _turn = Turn::wait().await;
    let (operator, _first, one, admin) = Operator::found().await;
    let load = Load::start(&[&one], &admin);
    let mut done = work(&load, &Done::default()).await;
    let mut nodes = Vec::new();
    for names in [["node-2", "node-3"], ["node-4", "node-5"]] {
        for name in names {
            let (node, endpoint) = operator.join(&one, name, &[]).await;
            load.add(&endpoint).await;
            nodes.push(node);
        }
        operator.voters(&one, nodes.len() + 1).await;
        done = work(&load, &done).await;
    }
    while let Some(node) = nodes.pop() {
        // The worst moment to leave: while it leads.
        operator.lead(&one, &node).await;
        load.take_out(&node.url).await;
        operator.remove_now(&one, node).await;
        operator.voters(&one, nodes.len() + 1).await;
        if nodes.len().is_multiple_of(2) {
            done = work(&load, &done).await;
        }
    }
    let told = load.stop().await;
    until(Instant::now() + REVOKED_WITHIN).await;
    assert_kept_promises(&told);
    // The founder alone is left, and all that any of them had acknowledged is with it.
    assert_all_is_there(&one, &admin, &told).await;
}
