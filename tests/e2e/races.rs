//! Many clients with the same thing in hand, at the same moment, at different nodes.

use std::collections::BTreeSet;
use std::time::Instant;

use reqwest::Method;

use super::cluster::Cluster;
use super::http::{Answer, Auth, Body, Endpoint};
use super::tokens::{LEGACY, LONG_SECS, Pair, TOKENS, create, create_body, refresh, refreshed, revoke};

/// How many clients at once.
const CLIENTS: usize = 24;

/// Lets many clients do the same at once, spread over the nodes.
async fn at_once<F>(cluster: &Cluster, act: impl Fn(Endpoint) -> F) -> Vec<Answer>
where
    F: Future<Output = Result<Answer, String>> + Send + 'static,
{
    let nodes: Vec<Endpoint> = cluster.endpoints().cloned().collect();
    let tasks: Vec<_> =
        nodes.iter().cycle().take(CLIENTS).map(|node| tokio::spawn(act(node.clone()))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("a client does not panic").expect("an answer"));
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
    let client = reqwest::Client::new();
    let answers = at_once(cluster, |node| {
        let request = client
            .post(format!("{}{TOKENS}", node.url()))
            .bearer_auth(&cluster.admin_token)
            .header("idempotency-key", "the same for all")
            .json(&create_body(LONG_SECS, true));
        async move {
            let response = request.send().await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            Ok(Answer { status, text: response.text().await.map_err(|error| error.to_string())? })
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
    assert_eq!((revoked, already), (1, CLIENTS - 1), "{answers:#?}");
}

/// Clients refresh at every node without a pause, each family with what the last refresh gave; then the family is revoked.
async fn nothing_is_refreshed_after_its_family_was_revoked(cluster: &Cluster) {
    for round in 0..3 {
        let first = Pair::of(&create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, true).await);
        let nodes: Vec<Endpoint> = cluster.endpoints().cloned().collect();
        let start = first.clone();
        let refreshing = tokio::spawn(async move {
            let mut pair = start;
            let mut last_success = None;
            for turn in 0.. {
                let sent = Instant::now();
                let answer = refresh(&nodes[turn % nodes.len()], &pair).await.expect("an answer");
                if answer.status != 200 {
                    break;
                }
                let (access, refresh) = refreshed(&answer);
                pair = Pair { access, refresh, ..pair };
                last_success = Some(sent);
            }
            (pair, last_success)
        });
        super::eventually::until(Instant::now() + std::time::Duration::from_millis(300)).await;
        let form = [("token", first.refresh.as_str())];
        let revoker = cluster.endpoint(round % cluster.len());
        let auth = Auth::Token(&cluster.admin_token);
        let path = format!("{LEGACY}/revoke");
        let answer = revoker.send(Method::POST, &path, auth, Body::Form(&form)).await.expect("an answer");
        let acknowledged = Instant::now();
        assert_eq!((answer.status, answer.text.as_str()), (200, "Token revoked"));
        let (last, last_success) = refreshing.await.expect("the client does not panic");
        assert!(
            last_success.is_some_and(|sent| sent < acknowledged),
            "a refresh sent after the revoke succeeded"
        );
        for node in cluster.endpoints() {
            let again = refresh(node, &last).await.expect("an answer");
            assert_eq!(again.status, 401, "at {}: {}", node.url(), again.text);
        }
    }
}
