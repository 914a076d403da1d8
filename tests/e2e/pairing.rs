//! Clusters that pair over links which can be cut, and what all of their nodes say of a token.

use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body};
use super::link::Link;
use super::promises::READY_WITHIN;

pub(crate) const CIRCLE: &str = "/circlet/v1/circle";

/// The guest follows the host over these links, and is followed over those behind them; directly, if there are none.
pub(crate) async fn pair(host: &Cluster, guest: &Cluster, name: &str, links: &[&Link], back: &[&Link]) {
    let body = json!({ "guest": guest.service_id, "hosts": urls(links) });
    let path = format!("{CIRCLE}/invitations");
    let invited = host.endpoint(0).post(&path, Auth::Token(&host.admin_token), Body::Json(body)).await;
    let body = json!({ "invitation": invited.member("invitation"), "name": name, "hosts": urls(back) });
    let path = format!("{CIRCLE}/members");
    let last = guest.endpoint(guest.len() - 1);
    let accepted = last.post(&path, Auth::Token(&guest.admin_token), Body::Json(body)).await;
    assert_eq!(accepted.status, 201, "{}", accepted.text);
    assert_eq!(accepted.member("circle_key"), invited.member("circle_key"));
}

fn urls(links: &[&Link]) -> Value {
    if links.is_empty() { Value::Null } else { links.iter().map(|link| link.url.as_str()).collect() }
}

/// The member of this service id, as a cluster shows it.
pub(crate) async fn shown(cluster: &Cluster, service_id: &str) -> Value {
    let circle = cluster.endpoint(0).get(CIRCLE, Auth::Token(&cluster.admin_token)).await.expect(200);
    let members = circle["members"].as_array().expect("a list");
    members.iter().find(|member| member["service_id"] == service_id).cloned().unwrap_or_default()
}

/// Every node says so sooner or later.
pub(crate) async fn everywhere(clusters: &[&Cluster], token: &str, status: u16, what: &str) {
    for cluster in clusters {
        for node in cluster.endpoints() {
            eventually(READY_WITHIN, what, || async {
                node.verify_once(token).await.ok().filter(|answer| answer.status == status)
            })
            .await;
        }
    }
}

/// Every node refuses it now, at the first time of asking.
pub(crate) async fn refused(clusters: &[&Cluster], token: &str, what: &str) {
    for cluster in clusters {
        for node in cluster.endpoints() {
            let answer = node.verify(token).await;
            assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        }
    }
}

/// Changes a setting.
pub(crate) async fn set(cluster: &Cluster, name: &str, value: u64) {
    let path = format!("/circlet/v1/config/{name}");
    let value = Body::Json(json!({ "value": value }));
    cluster.endpoint(0).put(&path, Auth::Token(&cluster.admin_token), value).await.expect(200);
}
