//! The nodes, as a cluster of one has them.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

transcript_test!(cluster_endpoints, async |t: &mut Transcript<'_>| {
    until_all_is_told(t).await;
    for path in ["/circlet/v1/cluster", "/circlet/v1/cluster/status", "/circlet/v1/cluster/nodes"] {
        t.ask(Method::GET, path, As::Admin, Body::Empty).await;
    }
    t.ask(Method::GET, "/circlet/v1/cluster", As::Nobody, Body::Empty).await;
    t.note("a join token is shown once");
    t.ask(Method::POST, "/circlet/v1/cluster/tokens", As::Admin, Body::Empty).await;
    t.note("the leadership, to the node that has it, and to none");
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, Body::Json(json!({"to": "node1"}))).await;
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, Body::Json(json!({"to": "nobody"}))).await;
    t.ask(Method::POST, "/circlet/v1/cluster/leader", As::Admin, Body::Empty).await;
    t.note("the only node stays");
    t.ask(Method::DELETE, "/circlet/v1/cluster/nodes/node1", As::Admin, Body::Empty).await;
    t.ask(Method::DELETE, "/circlet/v1/cluster/nodes/nobody", As::Admin, Body::Empty).await;
});

/// What a node tells of itself lags behind what it does.
async fn until_all_is_told(t: &Transcript<'_>) {
    let told = async {
        loop {
            let status = t.quietly(Method::GET, "/circlet/v1/cluster", As::Admin, Body::Empty).await.json();
            let known = ["/leader", "/applied", "/last_log", "/view_age_ms"]
                .iter()
                .all(|field| status.pointer(field).is_some_and(|value| !value.is_null()));
            if known && status["role"] == "leader" && status["nodes"][0]["leader"] == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
}
