//! A node that has too little of something, or too much asked of it: it refuses what can wait, says so, and goes on
//! verifying and revoking.

use reqwest::Method;
use serde_json::json;

use crate::server::Server;
use crate::transcript::{As, Body, Transcript};

const TOKENS: &str = "/access/api/v1/tokens";
const LEGACY: &str = "/artifactory/api/security/token";
/// A disk that has less than its reserve: no disk has as much.
const FULL_DISK: &str = "disk.reserve-bytes: 1152921504606846976\n";
/// Memory that has reached its limit: every process has more.
const TIGHT_MEMORY: &str = "memory.limit-bytes: 4096\n";

#[tokio::test]
async fn who_is_short_of_disk_or_memory_issues_nothing_to_be_kept_and_verifies_and_revokes() {
    for (settings, condition, of) in [
        (FULL_DISK, "disk_full", "this node is short of disk"),
        (TIGHT_MEMORY, "memory_tight", "this node is short of memory"),
    ] {
        let server = Server::start_with(settings);
        let t = Transcript::of(&server);
        // What an administrator does goes on.
        let set = Body::Json(json!({"value": 0}));
        let path = "/circlet/v1/config/token.minimum-revocable-expiry";
        assert_eq!(t.quietly(Method::PUT, path, As::Admin, set).await.status, 200, "{condition}");

        let form = || Body::Form("username=robot&scope=member-of-groups:readers&expires_in=600".to_owned());
        let plain = t.quietly(Method::POST, LEGACY, As::Admin, form()).await;
        assert_eq!(plain.status, 200, "plain tokens are not kept: {}", plain.text);
        let token = plain.field("access_token");
        let verify = async || {
            t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token.clone()), Body::Empty).await
        };
        assert_eq!(verify().await.status, 200, "{condition}");

        let recorded = Body::Json(json!({"expires_in": 600, "refreshable": true}));
        let refused = t.quietly(Method::POST, TOKENS, As::Admin, recorded).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.text.contains(of), "{}", refused.text);
        assert_eq!(refused.headers["retry-after"], "5");

        let revoke = Body::Form(format!("token={token}"));
        let revoked = t.quietly(Method::POST, &format!("{LEGACY}/revoke"), As::Admin, revoke).await;
        assert_eq!(revoked.text, "Token revoked", "nothing refuses a revoke");
        assert_eq!(verify().await.status, 401, "{condition}");

        let ready = t.quietly(Method::GET, "/readyz", As::Nobody, Body::Empty).await;
        assert_eq!(ready.status, 200, "{}", ready.text);
        assert_eq!(ready.json()["missing"][0]["condition"], condition);
        let ready = t.quietly(Method::GET, "/readyz?for=writes", As::Nobody, Body::Empty).await;
        assert_eq!(ready.status, 503, "{}", ready.text);
        assert_eq!(ready.json()["serves"], json!({"plain_tokens": true, "everything": false}));
    }
}
