//! A majority that is gone for good, and a node that is left and lacks what the others had decided: their floors have it.

use super::super::lost::disk::copy;
use super::*;

/// The next generation begins with the home of the node that is left.
async fn recover(home: &Path, storage: &Storage) -> Output {
    let order = ["recover", "--others-are-gone", "--floor", storage.root()];
    try_circlet(&order, home, &Environment::new()).await
}

/// What tells whose home it is, and what it knows.
fn secrets(home: &Path) -> Vec<Vec<u8>> {
    let files = ["identity.json", "master.key", "node.key", "ca.crt"];
    files.map(|name| fs::read(home.join("etc/security").join(name)).expect("a file of a home")).into()
}

/// A node with an empty home joins.
async fn join_anew(through: &Endpoint, held: &Held, storage: &Storage, home: &Path) -> (Node, Endpoint) {
    let settings = "name: anew\nhttp:\n  listen: 127.0.0.1:1\npeer:\n  listen: 127.0.0.1:2\n";
    let mut node = Node::prepare(home, &Ports::default().substituted(settings), &storage.settings());
    let admin = Auth::Token(&held.admin);
    let token = through.post("/circlet/v1/cluster/tokens", admin, Body::Json(json!({}))).await;
    circlet(&["join", "--token", &token.member("token")], &node.home).await;
    node.start();
    let endpoint = Endpoint::new(&node.url);
    eventually(READY_WITHIN, "the second node acknowledges", || async {
        let ready = endpoint.send(Method::GET, "/readyz?for=writes", Auth::Nobody, Body::Empty).await.ok()?;
        (ready.status == 200).then_some(())
    })
    .await;
    (node, endpoint)
}

#[tokio::test]
async fn a_node_that_is_left_behind_begins_anew_with_all_that_the_floors_hold() {
    let (storage, folder) = (Storage::new(), tempfile::tempdir().expect("a folder"));
    let (mut cluster, leaked, former_key) = requiring_a_floor(&storage).await;
    let issued = issue(&cluster).await;
    let backup = backup(cluster.endpoint(0), &cluster.admin_password, folder.path()).await;
    let early = token_of(&cluster, 2, "robot").await;
    revoke(cluster.endpoint(2), &issued.admin, &early.member("token_id")).await.assert_revoked();
    cluster.kill(2);
    let mut held = end_some(&cluster, [0, 1, 0], issued, leaked, &former_key).await;
    held.ended.push(early.member("access_token"));
    lose(&mut cluster, &[0, 1]);

    let home = cluster.home(2).to_owned();
    let before = secrets(&home);
    refuse_what_proves_nothing(&storage, || recover(&home, &storage)).await;
    assert_eq!(secrets(&home), before, "nothing was changed");
    let twin = folder.path().join("twin");
    copy(&home, &twin);
    let recovered = recover(&home, &storage).await;
    assert!(recovered.status.success(), "{}", said(&recovered));
    let recovered: Value = serde_json::from_slice(&recovered.stdout).expect("JSON");
    assert_eq!((&recovered["earlier_tokens"], &recovered["floor"]["nodes"]), (&"live on".into(), &3.into()));
    assert!(
        recovered["floor"]["index"].as_u64() > recovered["last"].as_u64(),
        "the node lacked some of it: {recovered}"
    );
    let elsewhere = folder.path().join("elsewhere");
    for twice in [recover(&twin, &storage).await, restore(&backup, &storage, &elsewhere).await] {
        assert!(twice.status.code() == Some(1) && said(&twice).contains("is spent"), "{}", said(&twice));
    }

    cluster.restart(2);
    cluster.ready(2).await;
    let left = cluster.endpoint(2);
    assert_tokens_live_on(left, &held).await;
    let (_node, anew) = join_anew(left, &held, &storage, &folder.path().join("anew")).await;
    assert_tokens_live_on(&anew, &held).await;
    assert_earlier_tokens_act_and_end(&anew, &held).await;
    // The floors of before are spent, whoever writes new ones beside them.
    let late = recover(&twin, &storage).await;
    assert!(late.status.code() == Some(1) && said(&late).contains("which came later"), "{}", said(&late));
}
