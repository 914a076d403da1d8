//! A token's life on a healthy cluster: any node will do for everything.

use std::time::Instant;

use serde_json::json;

use super::cluster::Cluster;
use super::eventually::until;
use super::http::{Auth, Body};
use super::promises::REVOKED_WITHIN;
use super::tokens::{LEGACY, LONG_SECS, PLAIN_SECS, Pair, TOKENS, create, refresh, refreshed, revoke};

#[tokio::test]
async fn a_token_lives_on_every_node_alike() {
    let cluster = Cluster::start("three-node").await;
    a_token_issued_on_each_node_verifies_on_every_other(&cluster).await;
    refresh_works_from_every_node_and_ends_the_old_pair(&cluster).await;
    a_repeated_refresh_gets_the_same_pair_from_every_node(&cluster).await;
    revoke_works_from_every_node_and_holds_everywhere_within_the_bound(&cluster).await;
    both_generations_of_the_interface_serve_the_same_tokens(&cluster).await;
    bad_input_is_refused_by_name(&cluster).await;
}

async fn a_token_issued_on_each_node_verifies_on_every_other(cluster: &Cluster) {
    for seconds in [PLAIN_SECS, LONG_SECS] {
        for issuer in cluster.endpoints() {
            let token = create(issuer, &cluster.admin_token, seconds, false).await;
            assert_eq!(token.status, 200, "{}", token.text);
            for verifier in cluster.endpoints() {
                let verdict = verifier.verify(&token.member("access_token")).await;
                let place = format!("issued at {}, verified at {}", issuer.url(), verifier.url());
                assert_eq!(verdict.status, 200, "{place}: {}", verdict.text);
                assert!(verdict.text.contains("/users/robot"), "{place}: {}", verdict.text);
            }
        }
    }
}

async fn refresh_works_from_every_node_and_ends_the_old_pair(cluster: &Cluster) {
    for node in cluster.endpoints() {
        let pair = Pair::of(&create(node, &cluster.admin_token, LONG_SECS, true).await);
        let successor = refreshed(&refresh(node, &pair).await);
        assert_ne!(successor, (pair.access.clone(), pair.refresh.clone()));
        assert_eq!(node.verify(&successor.0).await.status, 200);
        let replaced = Instant::now();
        until(replaced + REVOKED_WITHIN).await;
        for other in cluster.endpoints() {
            let verdict = other.verify(&pair.access).await;
            assert_eq!(verdict.status, 401, "the old access token at {}: {}", other.url(), verdict.text);
            assert_eq!(other.verify(&successor.0).await.status, 200);
        }
    }
}

async fn a_repeated_refresh_gets_the_same_pair_from_every_node(cluster: &Cluster) {
    let pair = Pair::of(&create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, true).await);
    let first = refreshed(&refresh(cluster.endpoint(0), &pair).await);
    for node in cluster.endpoints() {
        let again = refreshed(&refresh(node, &pair).await);
        assert_eq!(again, first, "repeated at {}", node.url());
    }
    let wrong = Pair { access: first.0.clone(), ..pair.clone() };
    let refused = refresh(cluster.endpoint(1), &wrong).await;
    assert_eq!(refused.status, 401, "another access token is another request: {}", refused.text);
    let successor = Pair { access: first.0, refresh: first.1, ..pair.clone() };
    refreshed(&refresh(cluster.endpoint(2), &successor).await);
    let late = refresh(cluster.endpoint(0), &pair).await;
    assert_eq!(late.status, 401, "the successor was used, so nothing can be repeated: {}", late.text);
}

async fn revoke_works_from_every_node_and_holds_everywhere_within_the_bound(cluster: &Cluster) {
    for node in cluster.endpoints() {
        let token = create(node, &cluster.admin_token, LONG_SECS, false).await;
        let (id, access) = (token.member("token_id"), token.member("access_token"));
        assert_eq!(node.verify(&access).await.status, 200);
        revoke(node, &cluster.admin_token, &id).await.assert_revoked();
        let acknowledged = Instant::now();
        assert_eq!(node.verify(&access).await.status, 401, "at the node that revoked, at once");
        until(acknowledged + REVOKED_WITHIN).await;
        for other in cluster.endpoints() {
            let verdict = other.verify(&access).await;
            assert_eq!(verdict.status, 401, "at {}: {}", other.url(), verdict.text);
        }
        let again = revoke(node, &cluster.admin_token, &id).await;
        assert_eq!(again.status, 204, "{}", again.text);
    }
    let plain = create(cluster.endpoint(0), &cluster.admin_token, PLAIN_SECS, false).await;
    let value = plain.member("access_token");
    let form = [("token", value.as_str())];
    let answer = cluster
        .endpoint(1)
        .post(&format!("{LEGACY}/revoke"), Auth::Token(&cluster.admin_token), Body::Form(&form))
        .await;
    assert_eq!(answer.status, 400, "a plain token is not revocable: {}", answer.text);
    assert!(answer.text.contains("Token not revocable"), "{}", answer.text);
}

async fn both_generations_of_the_interface_serve_the_same_tokens(cluster: &Cluster) {
    let form = [
        ("username", "robot"),
        ("scope", "member-of-groups:readers"),
        ("expires_in", "0"),
        ("refreshable", "False"),
    ];
    let admin = Auth::Password("admin", &cluster.admin_password);
    let legacy = cluster.endpoint(0).post(LEGACY, admin, Body::Form(&form)).await;
    let legacy_body = legacy.clone().expect(200);
    assert!(legacy_body.get("expires_in").is_none(), "{legacy_body}");
    assert_eq!(legacy_body["token_type"], "Bearer");
    let me =
        cluster.endpoint(1).get(&format!("{TOKENS}/me"), Auth::Token(&legacy.member("access_token"))).await;
    let me = me.expect(200);
    assert!(me["subject"].as_str().is_some_and(|subject| subject.ends_with("/users/robot")), "{me}");
    let revoke = [("token", legacy_body["access_token"].as_str().unwrap_or_default())];
    let path = format!("{LEGACY}/revoke");
    let answer =
        cluster.endpoint(2).post(&path, Auth::Token(&cluster.admin_token), Body::Form(&revoke)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.was_repeated || answer.text == "Token revoked", "{}", answer.text);
    let answer =
        cluster.endpoint(0).post(&path, Auth::Token(&cluster.admin_token), Body::Form(&revoke)).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "Token not found"));
}

async fn bad_input_is_refused_by_name(cluster: &Cluster) {
    let node = cluster.endpoint(0);
    let admin = Auth::Token(&cluster.admin_token);
    let negative = node.post(TOKENS, admin, Body::Json(json!({ "expires_in": -5 }))).await;
    assert_eq!(negative.status, 400, "{}", negative.text);
    assert!(negative.text.contains("expires_in"), "{}", negative.text);
    let garbled = node.get(&format!("{TOKENS}/me"), Auth::Token("not.a.token")).await;
    assert_eq!(garbled.status, 401, "{}", garbled.text);
    let nowhere = node.get("/access/api/v1/nowhere", admin).await.expect(404);
    assert_eq!(nowhere["errors"][0]["code"], "NOT_FOUND");
    let nobody = node.post(TOKENS, Auth::Nobody, Body::Empty).await.expect(401);
    assert_eq!(nobody["errors"][0]["code"], "UNAUTHORIZED");
    let wrong = node.get(&format!("{TOKENS}/me"), Auth::Password("admin", "wrong")).await;
    assert_eq!(wrong.status, 401, "{}", wrong.text);
}

#[tokio::test]
async fn a_single_node_is_a_whole_cluster() {
    let cluster = Cluster::start("single").await;
    let node = cluster.endpoint(0);
    let pair = Pair::of(&create(node, &cluster.admin_token, LONG_SECS, true).await);
    refreshed(&refresh(node, &pair).await);
    let token = create(node, &cluster.admin_token, LONG_SECS, false).await;
    let answer = revoke(node, &cluster.admin_token, &token.member("token_id")).await;
    answer.assert_revoked();
    assert_eq!(node.verify(&token.member("access_token")).await.status, 401);
    let answer = node.get("/artifactory/api/system/ping", Auth::Nobody).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "OK"));
    let id = node.get("/artifactory/api/system/service_id", Auth::Token(&cluster.admin_token)).await;
    assert_eq!(id.text, cluster.service_id);
}
