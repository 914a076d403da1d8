//! The nodes, as a cluster of one has them.

use reqwest::Method;
use serde_json::json;

use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

transcript_test!(cluster_endpoints, async |t: &mut Transcript<'_>| {
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
