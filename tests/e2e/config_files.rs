//! The configuration comes in and goes out as files, on every node.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::promises::READY_WITHIN;

const CONFIG: &str = "access.config.yml";
const IMPORT: &str = "access.config.import.yml";
const PATCH: &str = "access.config.patch.yml";

fn etc(home: &Path, name: &str) -> PathBuf {
    home.join("etc").join(name)
}

fn place(cluster: &Cluster, number: usize, name: &str, text: &str) {
    std::fs::write(etc(cluster.home(number), name), text).expect("a file");
}

/// Waits until every node's file shows a setting with this value.
async fn shown_everywhere(cluster: &Cluster, line: &str) {
    for number in cluster.all() {
        eventually(READY_WITHIN, "the node shows the setting", || async {
            let latest =
                std::fs::read_to_string(etc(cluster.home(number), "access.config.latest.yml")).ok()?;
            latest.lines().any(|shown| shown == line).then_some(())
        })
        .await;
    }
}

async fn value(cluster: &Cluster, name: &str) -> Value {
    let answer = cluster.endpoint(0).get(&format!("/circlet/v1/config/{name}"), cluster.admin()).await;
    answer.expect(200)["value"].clone()
}

async fn problems(cluster: &Cluster, number: usize, is_so: impl Fn(&str) -> bool) {
    eventually(READY_WITHIN, "the status says so", || async {
        is_so(&cluster.status(number).await?["problems"].to_string()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_file_changes_the_configuration_of_all_and_all_show_it() {
    let mut cluster = Cluster::start("three-node").await;
    shown_everywhere(&cluster, "token.default-expiry: 31536000").await;
    place(&cluster, 1, IMPORT, "token:\n  default-expiry: 7200\n  max-expiry: 9000\nhttp.port: 8340\n");
    shown_everywhere(&cluster, "token.default-expiry: 7200").await;
    eventually(READY_WITHIN, "the file is put aside", || async {
        let (file, aside) =
            (etc(cluster.home(1), IMPORT), etc(cluster.home(1), "access.config.import.yml.imported"));
        (!file.exists() && aside.exists()).then_some(())
    })
    .await;
    let history = cluster.endpoint(2).get("/circlet/v1/config/history", cluster.admin()).await.expect(200);
    let last = &history["changes"][0];
    assert_eq!(last["by"], "system", "{history}");
    assert_eq!(last["settings"]["token.default-expiry"]["to"], 7200, "{history}");

    place(&cluster, 2, PATCH, "token.default-expiry: 3600\n");
    shown_everywhere(&cluster, "token.default-expiry: 3600").await;
    assert_eq!(value(&cluster, "token.max-expiry").await, 9000, "a patch leaves the others as they are");

    // What is wrong is refused as a whole, said, and kept; what is half-written becomes whole.
    for (text, why) in [
        ("token.allow-basic-auth: false\ntoken.default-expiry: -5\n", "at least 0"),
        ("token.allow-basic-auth: false\ntoken: {default-expiry: 72", "nothing of it was taken"),
    ] {
        place(&cluster, 0, IMPORT, text);
        problems(&cluster, 0, |problems| problems.contains(why)).await;
        assert_eq!(value(&cluster, "token.allow-basic-auth").await, true, "nothing half done");
        let kept = std::fs::read_to_string(etc(cluster.home(0), IMPORT)).expect("the file");
        assert_eq!(kept, text, "nothing lost");
    }
    place(&cluster, 0, IMPORT, "token.allow-basic-auth: true\ntoken: {default-expiry: 720}\n");
    shown_everywhere(&cluster, "token.default-expiry: 720").await;
    problems(&cluster, 0, |problems| problems == "[]").await;
    assert_eq!(value(&cluster, "token.max-expiry").await, 0, "an import replaces what it doesn't name");

    edits(&mut cluster).await;

    cluster.kill(2);
    place(&cluster, 2, PATCH, "minimum-revocable-expiry: 60\n");
    cluster.restart(2);
    cluster.ready(2).await;
    shown_everywhere(&cluster, "token.minimum-revocable-expiry: 60").await;
}

/// Replaces a line of a node's own file, as an editor does.
fn edit(cluster: &Cluster, number: usize, from: &str, to: &str) -> String {
    let file = etc(cluster.home(number), CONFIG);
    let text = std::fs::read_to_string(&file).expect("the node's file");
    assert!(text.lines().any(|line| line == from), "{from} in {text}");
    let text = text.replace(&format!("\n{from}\n"), &format!("\n{to}\n"));
    std::fs::write(&file, &text).expect("a file");
    text
}

/// Waits until a node's own file has a line.
async fn written(cluster: &Cluster, number: usize, line: &str) {
    eventually(READY_WITHIN, "the node writes its file", || async {
        let text = std::fs::read_to_string(etc(cluster.home(number), CONFIG)).ok()?;
        text.lines().any(|shown| shown == line).then_some(())
    })
    .await;
}

/// The file that the node writes can be edited, and brings nothing back that the cluster has changed meanwhile.
async fn edits(cluster: &mut Cluster) {
    written(cluster, 1, "token.default-expiry: 720").await;
    edit(cluster, 1, "token.default-expiry: 720", "token.default-expiry: 721");
    shown_everywhere(cluster, "token.default-expiry: 721").await;
    for number in cluster.all() {
        written(cluster, number, "token.default-expiry: 721").await;
    }
    let kept = edit(cluster, 1, "token.default-expiry: 721", "token.default-expiry: -7");
    problems(cluster, 1, |problems| {
        problems.contains("access.config.yml") && problems.contains("at least 0")
    })
    .await;
    assert_eq!(
        std::fs::read_to_string(etc(cluster.home(1), CONFIG)).expect("the file"),
        kept,
        "nothing lost"
    );
    assert_eq!(value(cluster, "token.default-expiry").await, 721);
    edit(cluster, 1, "token.default-expiry: -7", "token.default-expiry: 721");
    problems(cluster, 1, |problems| problems == "[]").await;

    // Node 3 misses a change, and its operator edits the file of before.
    cluster.kill(2);
    edit(cluster, 0, "token.default-expiry: 721", "token.default-expiry: 722");
    eventually(READY_WITHIN, "the others have changed it", || async {
        (value(cluster, "token.default-expiry").await == 722).then_some(())
    })
    .await;
    edit(cluster, 2, "token.allow-refreshable: true", "token.allow-refreshable: false");
    cluster.restart(2);
    cluster.ready(2).await;
    shown_everywhere(cluster, "token.allow-refreshable: false").await;
    assert_eq!(value(cluster, "token.default-expiry").await, 722, "the newer value stays");
    written(cluster, 2, "token.default-expiry: 722").await;
}
