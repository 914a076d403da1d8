//! Two clusters whose links are cut one way and both ways, where keys turn over and one is down meanwhile; and a verifier that belongs to
//! neither.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::eventually::{eventually, until};
use super::http::{Auth, Body, Endpoint};
use super::link::Link;
use super::node::program;
use super::pairing::{everywhere, pair, refused, set, shown};
use super::promises::READY_WITHIN;
use super::tokens::{LONG_SECS, PLAIN_SECS, TOKENS, create, create_body, revoke};

/// `circle.max-staleness-ms` in this test.
const STALENESS_MS: u64 = 4_000;
/// With 200 ppm of drift, and a moment for the request itself to be sent.
const REFUSED_WITHIN: Duration = Duration::from_millis(STALENESS_MS + 10);
/// So many are revoked while the other cluster is down.
const MANY: u32 = 300;
/// So many requests at once.
const CLIENTS: u32 = 50;
const KEYS: &str = "/circlet/v1/keys";

struct Circle {
    here: Cluster,
    there: Cluster,
    /// How `there` reaches `here`, and the other way round.
    inward: Link,
    outward: Link,
}

/// Its id and value.
async fn recorded(cluster: &Cluster) -> (String, String) {
    let made = create(cluster.endpoint(0), &cluster.admin_token, LONG_SECS, false).await;
    (made.member("token_id"), made.member("access_token"))
}

async fn plain(cluster: &Cluster) -> String {
    create(cluster.endpoint(0), &cluster.admin_token, PLAIN_SECS, false).await.member("access_token")
}

/// The key that shall sign next, if there is one.
async fn published_key(cluster: &Cluster) -> Option<Value> {
    let listed = cluster.endpoint(0).get(KEYS, cluster.admin()).await.expect(200);
    listed["keys"].as_array()?.iter().find(|key| key["state"] == "published").cloned()
}

impl Circle {
    async fn start() -> Self {
        let (here, there) = Cluster::start_circle().await;
        let inward = Link::to(here.endpoint(0).url()).await;
        let outward = Link::to(there.endpoint(0).url()).await;
        for cluster in [&here, &there] {
            set(cluster, "circle.max-staleness-ms", STALENESS_MS).await;
        }
        pair(&here, &there, "here", &[&inward], &[&outward]).await;
        Self { here, there, inward, outward }
    }

    /// Each has a user and a group of the same name as the other: they are not the same.
    async fn same_names(&self) {
        let Self { here, there, .. } = self;
        let (_, theirs) = recorded(there).await;
        let (_, ours) = recorded(here).await;
        everywhere(&[here, there], &theirs, 200, "a robot of theirs").await;
        everywhere(&[here, there], &ours, 200, "a robot of ours").await;
        let user = json!({ "username": "robot", "email": "robot@example.org", "password": "Pass-word-1", "admin": true });
        let made = here.endpoint(0).post("/access/api/v2/users", here.admin(), Body::Json(user)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let worth = here.endpoint(0).verify(&theirs).await.expect(200);
        assert_eq!(worth["admin"], false, "the user of that name is ours: {worth}");
        assert_eq!(worth["user"], format!("{}/users/robot", there.service_id));
        assert_eq!(worth["foreign"], true);
        let all = json!({ "user": "robot" });
        let ended = here.endpoint(0).post("/circlet/v1/watermarks", here.admin(), Body::Json(all)).await;
        assert_eq!(ended.status, 200, "{}", ended.text);
        everywhere(&[here, there], &ours, 401, "all of our robot has ended, here and there").await;
        everywhere(&[here, there], &theirs, 200, "nothing of theirs has").await;
    }

    /// A verifier that holds a folder, and neither a node nor a credential.
    async fn offline(&self, folder: &Path) {
        let Self { here, there, .. } = self;
        let (id, token) = recorded(here).await;
        let (_, theirs) = recorded(there).await;
        let folder = folder.to_str().expect("UTF-8");
        let exported = offline(&["circle", "export", folder], Some(here)).await.expect("exported");
        assert_eq!(exported["members"].as_array().map(Vec::len), Some(2), "{exported}");
        for token in [&token, &theirs] {
            let verdict = offline(&["token", "verify", "--circle", folder, token], None).await;
            assert_eq!(verdict.expect("honoured")["revocation"], "checked");
        }
        let alone = offline(&["token", "verify", "--certificates", folder, &token], None).await;
        assert_eq!(alone.expect("signed")["revocation"], "not checked");
        revoke(here.endpoint(0), &here.admin_token, &id).await.assert_revoked();
        offline(&["circle", "pull", folder], None).await.expect("pulled");
        let gone =
            offline(&["token", "verify", "--circle", folder, &token], None).await.expect_err("revoked");
        assert!(gone.contains("rejected (revoked)") && gone.contains("its id was revoked"), "{gone}");
        offline(&["token", "verify", "--circle", folder, &theirs], None).await.expect("honoured");
        self.offline_and_cut(folder, &theirs).await;
    }

    /// A head is over at its time, whatever becomes of the clusters.
    async fn offline_and_cut(&self, folder: &str, theirs: &str) {
        let there = &self.there;
        set(there, "circle.head-valid-for-ms", 3_000).await;
        let ours = plain(there).await;
        offline(&["circle", "pull", folder], None).await.expect("pulled");
        self.outward.cut();
        let stale = eventually(READY_WITHIN, "nobody tells of revocations any more", || async {
            offline(&["token", "verify", "--circle", folder, theirs], None).await.err()
        })
        .await;
        assert!(stale.contains("was last proved"), "{stale}");
        let failed = offline(&["circle", "pull", folder], None).await.expect_err("cut");
        assert!(failed.contains(&there.service_id), "{failed}");
        offline(&["token", "verify", "--circle", folder, &ours], None).await.expect("a plain token goes on");
        self.outward.mend();
        offline(&["circle", "pull", folder], None).await.expect("pulled");
        offline(&["token", "verify", "--circle", folder, theirs], None).await.expect("honoured again");
    }

    /// One way: only who can't hear goes without.
    async fn one_way(&self) {
        let Self { here, there, outward, .. } = self;
        let ((_, ours), (id, theirs)) = (recorded(here).await, recorded(there).await);
        everywhere(&[here, there], &ours, 200, "before").await;
        everywhere(&[here, there], &theirs, 200, "before").await;
        outward.cut();
        revoke(there.endpoint(0), &there.admin_token, &id).await.assert_revoked();
        until(Instant::now() + REFUSED_WITHIN).await;
        refused(&[here, there], &theirs, "revoked behind the cut").await;
        everywhere(&[here, there], &ours, 200, "the other direction is whole").await;
        outward.mend();
    }

    /// A new signing key waits for the member that can't hear of it, and signs once it has heard.
    async fn rotation_behind_a_cut(&self) {
        let Self { here, there, inward, outward } = self;
        set(here, "circle.key-wait", 3_600).await;
        let before = plain(here).await;
        inward.cut();
        outward.cut();
        let made = here.endpoint(0).post(KEYS, here.admin(), Body::Json(json!({}))).await;
        assert!(matches!(made.status, 200 | 201), "{}", made.text);
        eventually(READY_WITHIN, "nobody but the member is waited for", || async {
            let next = published_key(here).await?;
            let members = next["unaware"].as_array().map_or(0, Vec::len);
            (next["unconfirmed"] == json!([]) && members == 1).then_some(())
        })
        .await;
        let meanwhile = plain(here).await;
        inward.mend();
        outward.mend();
        eventually(READY_WITHIN, "the next key signs", || async {
            published_key(here).await.is_none().then_some(())
        })
        .await;
        for token in [&before, &meanwhile, &plain(here).await] {
            everywhere(&[here, there], token, 200, "of the key before, and of the next one").await;
        }
    }

    /// Both ways at once, and meanwhile each revokes and a key leaks; then one of them is down.
    async fn both_ways(&mut self) {
        let Self { here, there, inward, outward } = self;
        let ((our_id, ours), (their_id, theirs)) = (recorded(here).await, recorded(there).await);
        let (lasting, leaked) = (recorded(there).await.1, plain(here).await);
        for token in [&ours, &theirs, &lasting, &leaked] {
            everywhere(&[here, there], token, 200, "before").await;
        }
        inward.cut();
        outward.cut();
        revoke(here.endpoint(0), &here.admin_token, &our_id).await.assert_revoked();
        revoke(there.endpoint(0), &there.admin_token, &their_id).await.assert_revoked();
        until(Instant::now() + REFUSED_WITHIN).await;
        for token in [&ours, &theirs] {
            refused(&[here, there], token, "revoked behind the cut").await;
        }
        refused(&[here], &lasting, "nothing can be known").await;
        let path = "/circlet/v1/keys/active/taint";
        here.endpoint(0).post(path, here.admin(), Body::Empty).await.expect(200);
        everywhere(&[here], &leaked, 401, "what the tainted key signed").await;
        everywhere(&[there], &leaked, 200, "goes on where nobody has heard, as promised of plain tokens")
            .await;
        there.kill(0);
        revoke_many(here.endpoint(0), here.admin()).await;
        inward.mend();
        outward.mend();
        there.restart(0);
        there.ready(0).await;
        let there = &*there;
        everywhere(&[there], &leaked, 401, "the taint is heard").await;
        let many = u64::from(MANY);
        eventually(READY_WITHIN, "the feed is read to its end", || async {
            let member = shown(there, &here.service_id).await;
            let whole = member["entries"].as_u64().is_some_and(|entries| entries >= many);
            (member["feed"] == "following" && whole && member["faults"] == json!([])).then_some(())
        })
        .await;
        everywhere(&[here, there], &lasting, 200, "honoured again").await;
        for token in [&ours, &theirs] {
            refused(&[here, there], token, "and what was revoked is not").await;
        }
        // The administrator's own token has ended with the key.
        let body = Body::Json(create_body(PLAIN_SECS, false));
        let next = here.endpoint(0).post(TOKENS, here.admin(), body).await.member("access_token");
        everywhere(&[here], &next, 200, "the next key signs").await;
    }
}

/// Revokes ids that nobody has seen: plain tokens may carry them, so each is an entry of the feed.
async fn revoke_many(node: &Endpoint, admin: Auth<'_>) {
    for (name, value) in [
        ("token.minimum-revocable-expiry", 0),
        ("token.persistency.revocable-expiry-threshold", 0),
        ("token.persistency.persistent-expiry-threshold", 100_000),
    ] {
        let path = format!("/circlet/v1/config/{name}");
        node.put(&path, admin, Body::Json(json!({ "value": value }))).await.expect(200);
    }
    let Auth::Password(name, password) = admin else { panic!("an administrator with a password") };
    let body = json!({ "scope": "applied-permissions/admin", "expires_in": PLAIN_SECS });
    let token =
        node.post(TOKENS, Auth::Password(name, password), Body::Json(body)).await.member("access_token");
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (node, token) = (node.clone(), token.clone());
        clients.spawn(async move {
            for number in (client..MANY).step_by(CLIENTS as usize) {
                let path = format!("{TOKENS}/{number:08x}-0000-4000-8000-000000000000");
                let gone = node.ask(Method::DELETE, &path, Auth::Token(&token), Body::Empty).await;
                assert!(matches!(gone.status, 200 | 204), "{} {}", gone.status, gone.text);
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("every id was revoked");
    }
}

/// Runs a command of the program, as the administrator of a cluster or as nobody; what it prints, or what it complains of.
async fn offline(arguments: &[&str], admin: Option<&Cluster>) -> Result<Value, String> {
    let mut command = tokio::process::Command::from(program());
    command.args(["--output", "json"]).args(arguments).stdin(Stdio::null());
    if let Some(cluster) = admin {
        command
            .env("CIRCLET_URL", cluster.endpoint(0).url())
            .env("CIRCLET_ACCESS_TOKEN", &cluster.admin_token);
    }
    let output = command.output().await.expect("the program runs");
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn circle_that_is_cut_one_way_or_both_or_for_long_accepts_nothing_that_was_revoked() {
    let mut circle = Circle::start().await;
    let begun = Instant::now();
    let done = |what: &str| eprintln!("{what}: done after {:?}", begun.elapsed());
    circle.same_names().await;
    done("same names");
    let folder = tempfile::tempdir().expect("a folder");
    circle.offline(&folder.path().join("circle")).await;
    done("a verifier without a node");
    circle.one_way().await;
    done("one way");
    circle.rotation_behind_a_cut().await;
    done("a rotation behind a cut");
    circle.both_ways().await;
    done("both ways");
}
