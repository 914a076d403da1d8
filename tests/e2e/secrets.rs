//! No secret is written down in the clear: not in the log, not in a snapshot, not in a line for people.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::json;

use super::cluster::Cluster;
use super::eventually::eventually;
use super::http::{Auth, Body};
use super::promises::READY_WITHIN;
use super::tokens::{LEGACY, LONG_SECS, PLAIN_SECS, TOKENS, create, create_body};

const PASSWORD: &str = "a-password-that-nobody-else-has-1";
const WRONG_PASSWORD: &str = "a-wrong-password-that-was-typed-2";
const SMALL_SNAPSHOTS: &str = "raft.snapshot-log-bytes: 20000\nlog.level: debug\n";

#[tokio::test]
async fn no_secret_is_found_in_the_files_of_a_run() {
    let cluster = Cluster::start_with("three-node", SMALL_SNAPSHOTS).await;
    let secrets = leave_traces(&cluster).await;
    eventually(READY_WITHIN, "a snapshot was taken", || async {
        let status = cluster.status(0).await?;
        status["snapshot"].as_u64().filter(|index| *index > 0)
    })
    .await;
    let (mut files, mut named) = (0, 0);
    for number in cluster.all() {
        for file in files_below(cluster.home(number)) {
            // What the node itself needs in the clear lives there, readable by its owner alone.
            if file.starts_with(cluster.home(number).join("etc/security")) {
                continue;
            }
            // Secrets are ASCII, which this leaves as it is, whatever stands around it.
            let content = std::fs::read(&file).unwrap_or_default();
            let content = String::from_utf8_lossy(&content);
            files += 1;
            named += usize::from(content.contains("carol"));
            for (what, secret) in &secrets {
                assert!(!content.contains(secret.as_str()), "{what} is in {}", file.display());
            }
            assert!(!content.contains("PRIVATE KEY"), "a private key is in {}", file.display());
        }
    }
    assert!(files > 12, "the homes were looked through: {files} files");
    assert!(named > cluster.len(), "what is no secret is found, so a secret would be: {named}");
}

/// Does with secrets whatever clients do with them, and returns what must not be found afterwards.
async fn leave_traces(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let admin = Auth::Token(&cluster.admin_token);
    let node = cluster.endpoint(0);
    let other = cluster.endpoint(1);
    let mut secrets = vec![
        ("the administrator's password", cluster.admin_password.clone()),
        ("a user's password", PASSWORD.to_owned()),
        ("a wrong password", WRONG_PASSWORD.to_owned()),
        ("the administrator's token", signature(&cluster.admin_token)),
    ];
    let user =
        json!({ "username": "carol", "email": "carol@example.org", "password": PASSWORD, "admin": false });
    let created = node.post("/access/api/v2/users", admin, Body::Json(user)).await;
    assert!(created.status == 201 || (created.was_repeated && created.status == 409), "{}", created.text);
    assert_eq!(
        other.get("/artifactory/api/system/ping", Auth::Password("carol", PASSWORD)).await.status,
        200
    );
    assert_eq!(
        other.get("/artifactory/api/system/ping", Auth::Password("carol", WRONG_PASSWORD)).await.status,
        401
    );
    for turn in 0..60 {
        let mut body = create_body(LONG_SECS, true);
        body["include_reference_token"] = json!(true);
        let issuer = cluster.endpoint(turn % cluster.len());
        let token = issuer.post(TOKENS, admin, Body::Json(body)).await;
        let (access, refresh) = (token.member("access_token"), token.member("refresh_token"));
        let reference = token.member("reference_token");
        assert_eq!(other.verify(&reference).await.status, 200);
        let again =
            json!({ "grant_type": "refresh_token", "refresh_token": refresh, "access_token": access });
        let next = node.post(TOKENS, Auth::Token(&access), Body::Json(again)).await;
        let next_access = next.member("access_token");
        let form = [("token", next_access.as_str())];
        let revoked = other.ask(Method::POST, &format!("{LEGACY}/revoke"), admin, Body::Form(&form)).await;
        assert_eq!(revoked.status, 200, "{}", revoked.text);
        secrets.push(("an access token", signature(&access)));
        secrets.push(("a refreshed access token", signature(&next_access)));
        secrets.push(("a refresh token", refresh));
        secrets.push(("the next refresh token", next.member("refresh_token")));
        secrets.push(("a reference token", reference));
    }
    let plain = create(node, &cluster.admin_token, PLAIN_SECS, false).await.member("access_token");
    assert_eq!(
        other.get(&format!("/artifactory/api/system/ping?token={plain}"), Auth::Nobody).await.status / 100,
        2
    );
    secrets.push(("a plain token", signature(&plain)));
    let garbled = format!("{}x", "g".repeat(40));
    assert_eq!(node.verify(&garbled).await.status, 401);
    secrets.push(("a garbled token", garbled));
    secrets
}

/// The part of a token that makes it worth something; the rest may be shown.
fn signature(token: &str) -> String {
    token.rsplit('.').next().expect("a last part").to_owned()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the home") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found
}
