//! Two clusters, one of which trusts the other.

use reqwest::Method;
use serde_json::json;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, create};

#[tokio::test]
async fn a_trusted_certificate_opens_the_door_for_plain_tokens_only_and_one_way_only() {
    let (here, there) = Cluster::start_circle().await;
    let node = here.endpoint(0);
    let admin = Auth::Token(&here.admin_token);
    let plain = create(there.endpoint(0), &there.admin_token, PLAIN_SECS, false).await.member("access_token");
    let revocable =
        create(there.endpoint(0), &there.admin_token, LONG_SECS, false).await.member("access_token");
    let stranger = node.verify(&plain).await;
    assert_eq!(stranger.status, 401, "a stranger's token: {}", stranger.text);

    let certificate =
        std::fs::read_to_string(there.home(0).join("etc/keys/root.crt")).expect("a certificate");
    let body = Body::Json(json!({ "name": "there", "certificate": certificate }));
    let trusted = node.post("/circlet/v1/trust", admin, body).await;
    assert!(trusted.status == 201 || (trusted.was_repeated && trusted.status == 200), "{}", trusted.text);
    let accepted = node.verify(&plain).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text);
    assert!(accepted.text.contains(&there.service_id), "{}", accepted.text);
    let refused = node.verify(&revocable).await;
    assert_eq!(refused.status, 401, "{}", refused.text);
    assert!(refused.text.contains("revo"), "the reason is that nobody here can know: {}", refused.text);
    let foreign_admin = node.verify(&there.admin_token).await;
    let verdict = foreign_admin.expect(200);
    assert_eq!(verdict["admin"], false, "their administrators are not ours: {verdict}");
    let one_way = create(node, &here.admin_token, PLAIN_SECS, false).await.member("access_token");
    assert_eq!(there.endpoint(0).verify(&one_way).await.status, 401, "trust has a direction");

    let gone = node.ask(Method::DELETE, "/circlet/v1/trust/there", admin, Body::Empty).await;
    assert!(gone.status == 204 || (gone.was_repeated && gone.status == 404), "{}", gone.text);
    assert_eq!(node.verify(&plain).await.status, 401, "trust has ended");
}

#[tokio::test]
async fn the_trusted_folder_of_one_node_speaks_for_its_whole_cluster() {
    let (here, there) = Cluster::start_circle_of("three-node").await;
    let plain = create(there.endpoint(0), &there.admin_token, PLAIN_SECS, false).await.member("access_token");
    let dropped = here.home(1).join("etc/keys/trusted/there.crt");
    std::fs::copy(there.home(0).join("etc/keys/root.crt"), &dropped).expect("a dropped certificate");
    for node in here.endpoints() {
        eventually(READY_WITHIN, "the other cluster's plain token is accepted", || async {
            (node.verify(&plain).await.status == 200).then_some(())
        })
        .await;
    }
    for number in here.all() {
        eventually(READY_WITHIN, "every node's folder shows it", || async {
            here.home(number).join("etc/keys/trusted/there.crt").exists().then_some(())
        })
        .await;
    }
    std::fs::remove_file(here.home(2).join("etc/keys/trusted/there.crt")).expect("a removed certificate");
    for node in here.endpoints() {
        eventually(READY_WITHIN, "trust ends with the file, wherever it was removed", || async {
            (node.verify(&plain).await.status == 401).then_some(())
        })
        .await;
    }
}
