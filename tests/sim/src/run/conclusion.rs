//! The end of a run: nobody asks for anything any more, and everything that was acknowledged must be on every node.

use std::sync::Arc;
use std::time::Duration;

use circlet_authority::State;
use openraft_rt::AsyncRuntime;

use crate::cluster::Cluster;
use crate::history::History;
use crate::machine::tell_whole;
use crate::runtime::{NodeRuntime, global_nanos};
use crate::workload::Workload;

/// How long a cluster may take for each step of it.
const STEP_MS: u64 = 30_000;

/// Liveness: every node takes a write, and in a while they are all in one state, which has all that clients were told of.
pub(super) async fn conclude(cluster: &Cluster, workload: &Workload, history: &History) {
    if history.violation().is_some() {
        return;
    }
    let concluded = async {
        if !workload.rest().await {
            return Err("a client is still waiting".to_owned());
        }
        take_writes(cluster, workload).await?;
        serve(cluster, workload).await?;
        agree(cluster).await
    };
    match concluded.await {
        // In the same instant in which they agree.
        Ok(()) => cluster.computers().iter().for_each(|computer| workload.take_stock(computer)),
        Err(why) => history.accuse("liveness", format!("at the end, without faults: {why}")),
    }
}

async fn take_writes(cluster: &Cluster, workload: &Workload) -> Result<(), String> {
    for computer in cluster.computers() {
        let deadline = global_nanos() + STEP_MS * 1_000_000;
        while !workload.writes_through(&computer).await {
            if global_nanos() > deadline {
                return Err(format!("no write through node {} in {STEP_MS} ms", computer.id));
            }
            NodeRuntime::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Each node issues tokens, and each vouches for them.
async fn serve(cluster: &Cluster, workload: &Workload) -> Result<(), String> {
    for computer in cluster.computers() {
        let deadline = global_nanos() + STEP_MS * 1_000_000;
        while let Err(why) = workload.is_served_by(&computer).await {
            if global_nanos() > deadline {
                return Err(format!("a token of node {}, after {STEP_MS} ms: {why}", computer.id));
            }
            NodeRuntime::sleep(Duration::from_millis(100)).await;
        }
    }
    Ok(())
}

/// Waits until all nodes are in one state. They go on by themselves, so that it is for a moment.
async fn agree(cluster: &Cluster) -> Result<(), String> {
    let deadline = global_nanos() + STEP_MS * 1_000_000;
    loop {
        match one_state(cluster) {
            Ok(()) => return Ok(()),
            Err(why) if global_nanos() > deadline => return Err(format!("after {STEP_MS} ms: {why}")),
            Err(_) => NodeRuntime::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What the nodes lack of one leader, and of one state at one index.
fn one_state(cluster: &Cluster) -> Result<(), String> {
    let mut views = Vec::new();
    for computer in cluster.computers() {
        let id = computer.id;
        let (scope, member) = computer.node().ok_or_else(|| format!("node {id} is down"))?;
        let leader = member.status().leader;
        leader.ok_or_else(|| format!("node {id} knows no leader"))?;
        views.push((id, leader, scope, Arc::clone(&member.published().view)));
    }
    let Some((first, first_leader, _, first_view)) = views.first() else { return Ok(()) };
    for (id, leader, _, view) in &views {
        if leader != first_leader {
            return Err(format!("node {first} follows {first_leader:?}, and node {id} {leader:?}"));
        }
        if view.index() != first_view.index() {
            return Err(format!(
                "node {first} is at {}, and node {id} at {}",
                first_view.index(),
                view.index()
            ));
        }
    }
    let digest = |view: &State| view.digest();
    for (id, _, scope, view) in &views {
        tell_whole(scope, view);
        if digest(view) != digest(first_view) {
            return Err(format!("nodes {first} and {id} are in other states at {}", view.index()));
        }
    }
    Ok(())
}
