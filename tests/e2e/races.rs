//! Many clients with the same thing in hand, at the same moment, at different nodes.

use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use tokio::sync::watch;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Answer, Auth, Body, Endpoint};
use super::promises::READY_WITHIN;
use super::tokens::{
    LEGACY, LONG_SECS, Pair, TOKENS, create, create_body, refresh, refresh_once, refreshed, revoke,
};

/// How many clients at once.
const CLIENTS: usize = 24;

/// Lets many clients do the same at once, spread over the nodes.
async fn at_once<F>(cluster: &Cluster, act: impl Fn(Endpoint) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let nodes: Vec<Endpoint> = cluster.endpoints().cloned().collect();
    let tasks: Vec<_> =
        nodes.iter().cycle().take(CLIENTS).map(|node| tokio::spawn(act(node.clone()))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("a client does not panic"));
    }
    answers
}

#[tokio::test]
async fn many_clients_with_the_same_thing_in_hand_get_one_outcome() {
    let cluster = Cluster::start("three-node").await;
    one_refresh_token_has_one_successor(&cluster).await;
    one_idempotency_key_makes_one_token(&cluster).await;
    a_token_is_revoked_once(&cluster).await;
    nothing_is_refreshed_after_its_family_was_revoked(&cluster).await;
    whoever_creates_is_told_so_and_nobody_else(&cluster).await;
    a_node_that_lags_forbids_nothing(&cluster).await;
}

/// 201 says that there was none before: true for one of all who write the same name, whatever their nodes had seen.
async fn whoever_creates_is_told_so_and_nobody_else(cluster: &Cluster) {
    let user = json!({"email": "t@example.org", "password": "a password"});
    for (path, body) in [("users/twice", user), ("groups/twice", json!({}))] {
        let path = format!("/artifactory/api/security/{path}");
        let answers = at_once(cluster, |node| {
            let (path, body, admin) = (path.clone(), body.clone(), cluster.admin_token.clone());
            async move { node.ask(Method::PUT, &path, Auth::Token(&admin), Body::Json(body)).await }
        })
        .await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        let changed = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(created + changed, CLIENTS, "{answers:#?}");
        let unsure = answers.iter().any(|answer| answer.was_repeated);
        assert!(created == 1 || (created == 0 && unsure), "{path}: {answers:#?}");
    }
}

/// A node that missed it that somebody became an administrator asks for a fresh view before it says no.
async fn a_node_that_lags_forbids_nothing(cluster: &Cluster) {
    let leader = cluster.leader(&cluster.all()).await;
    let lagging = cluster.others(leader)[0];
    let users = "/access/api/v2/users";
    for round in 0..5 {
        let (name, path) = (format!("late-{round}"), format!("{users}/late-{round}"));
        let user = json!({"username": name, "email": "l@example.org", "password": "a password"});
        cluster.endpoint(leader).post(users, cluster.admin(), Body::Json(user)).await.expect(201);
        let wanted = json!({"username": name, "expires_in": 600});
        let made = cluster.endpoint(leader).post(TOKENS, cluster.admin(), Body::Json(wanted)).await;
        let token = made.member("access_token");
        cluster.endpoint(lagging).get(users, Auth::Token(&token)).await.expect(403);
        cluster.pause(lagging);
        let admin = Body::Json(json!({"admin": true}));
        cluster.endpoint(leader).ask(Method::PATCH, &path, cluster.admin(), admin).await.expect(200);
        let node = cluster.endpoint(lagging).clone();
        let asking = tokio::spawn(async move { node.get(users, Auth::Token(&token)).await });
        // Long enough, mostly, for the request to wait at the door before the cluster's news come in.
        tokio::task::yield_now().await;
        cluster.resume(lagging);
        asking.await.expect("a client does not panic").expect(200);
    }
}

async fn one_refresh_token_has_one_successor(cluster: &Cluster) {
    for _round in 0..5 {
        let pair = Pair::of(&create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, true).await);
        let answers = at_once(cluster, |node| {
            let pair = pair.clone();
            async move { refresh(&node, &pair).await }
        })
        .await;
        let successors: BTreeSet<_> = answers.iter().map(refreshed).collect();
        assert_eq!(successors.len(), 1, "{successors:#?}");
    }
}

async fn one_idempotency_key_makes_one_token(cluster: &Cluster) {
    let key = [("idempotency-key", "the same for all")];
    let answers = at_once(cluster, |node| {
        let admin = cluster.admin_token.clone();
        async move {
            let body = Body::Json(create_body(LONG_SECS, true));
            node.ask_with(&key, Method::POST, TOKENS, Auth::Token(&admin), body).await
        }
    })
    .await;
    let pairs: Vec<Pair> = answers.iter().map(Pair::of).collect();
    assert!(pairs.iter().all(|pair| *pair == pairs[0]), "{pairs:#?}");
}

async fn a_token_is_revoked_once(cluster: &Cluster) {
    let token = create(cluster.endpoint(1), &cluster.admin_token, LONG_SECS, false).await;
    let id = token.member("token_id");
    let answers = at_once(cluster, |node| {
        let (admin, id) = (cluster.admin_token.clone(), id.clone());
        async move { revoke(&node, &admin, &id).await }
    })
    .await;
    let revoked = answers.iter().filter(|answer| answer.status == 200).count();
    let already = answers.iter().filter(|answer| answer.status == 204).count();
    assert_eq!(revoked + already, CLIENTS, "{answers:#?}");
    // The one that revoked it may not have heard so, and have found it done when it asked again.
    let unsure = answers.iter().any(|answer| answer.was_repeated);
    assert!(revoked == 1 || (revoked == 0 && unsure), "{answers:#?}");
}

/// Clients refresh at every node without a pause, each family with what the last refresh gave; then the family is revoked.
async fn nothing_is_refreshed_after_its_family_was_revoked(cluster: &Cluster) {
    for round in 0..3 {
        let first = Pair::of(&create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, true).await);
        let nodes: Vec<Endpoint> = cluster.endpoints().cloned().collect();
        let start = first.clone();
        let (succeeded, successes) = watch::channel(0);
        let refreshing = tokio::spawn(async move {
            let mut pair = start;
            let mut last_success = None;
            for turn in 0.. {
                let sent = Instant::now();
                let answer = refresh_once(&nodes[turn % nodes.len()], &pair).await.expect("an answer");
                match answer.status {
                    503 => continue,
                    200 => {}
                    _ => break,
                }
                let (access, refresh) = refreshed(&answer);
                pair = Pair { access, refresh, ..pair };
                last_success = Some(sent);
                succeeded.send_modify(|count| *count += 1);
            }
            (pair, last_success)
        });
        eventually(READY_WITHIN, "the family is refreshed again and again", || async {
            (*successes.borrow() >= 5).then_some(())
        })
        .await;
        let form = [("token", first.refresh.as_str())];
        let revoker = cluster.endpoint(round % cluster.len());
        let auth = Auth::Token(&cluster.admin_token);
        let path = format!("{LEGACY}/revoke");
        let answer = revoker.post(&path, auth, Body::Form(&form)).await;
        let acknowledged = Instant::now();
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.was_repeated || answer.text == "Token revoked", "{}", answer.text);
        let (last, last_success) = refreshing.await.expect("the client does not panic");
        assert!(
            last_success.is_some_and(|sent| sent < acknowledged),
            "a refresh sent after the revoke succeeded"
        );
        for node in cluster.endpoints() {
            let again = refresh(node, &last).await;
            assert_eq!(again.status, 401, "at {}: {}", node.url(), again.text);
        }
    }
}
