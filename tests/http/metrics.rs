//! The page of metrics of a real node: that it counts, and that documentation, alert rules and dashboard speak of what is
//! on it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::decoded;
use crate::server::{Server, free_address};
use crate::transcript::{As, Body, Transcript};
use crate::transcript_test;

const TOKENS: &str = "/access/api/v1/tokens";
const PATIENCE: Duration = Duration::from_mins(2);

/// The page, as Prometheus gets it without a credential.
async fn page(address: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}/metrics")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    answer.text().await.unwrap()
}

/// The value of a line that begins with this name and labels.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

/// Looks until a series has at least this value: pages are counted a little later than requests are answered.
async fn until_at_least(address: &str, series: &str, least: f64) {
    let begun = Instant::now();
    loop {
        let page = page(address).await;
        if value(&page, series).is_some_and(|value| value >= least) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{series} does not reach {least}: {page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_happens_is_counted_and_what_is_known_is_shown() {
    let address = free_address();
    let server = Server::start_with(&format!("metrics.listen: {address}\n"));
    let t = Transcript::of(&server);
    let order =
        json!({"username": "robot", "scope": "applied-permissions/groups:readers", "expires_in": 600});
    let plain = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(order)).await;
    let verify = |token: String| t.quietly(Method::GET, "/circlet/v1/verify", As::Bearer(token), Body::Empty);
    assert_eq!(verify(plain.field("access_token")).await.status, 200);
    let order = json!({"expires_in": 7200, "refreshable": true, "force_revocable": true});
    let pair = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(order)).await;
    let refresh = json!({
        "grant_type": "refresh_token", "refresh_token": pair.field("refresh_token"),
        "access_token": pair.field("access_token"),
    });
    for _ in ["first", "repeated"] {
        assert_eq!(t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(refresh.clone())).await.status, 200);
    }
    let next = t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(refresh)).await.field("access_token");
    assert_eq!(verify(next.clone()).await.status, 200);
    let revoke = Body::Json(json!({"token": next}));
    assert_eq!(t.quietly(Method::DELETE, &format!("{TOKENS}/revoke"), As::Admin, revoke).await.status, 200);
    assert_eq!(verify(next).await.status, 401);

    for (series, least) in [
        ("circlet_tokens_issued_total{class=\"plain\"}", 1.0),
        ("circlet_tokens_issued_total{class=\"recorded\"}", 1.0),
        ("circlet_tokens_verified_total{class=\"plain\"}", 1.0),
        ("circlet_tokens_verified_total{class=\"revocable\"}", 1.0),
        ("circlet_tokens_refreshed_total{class=\"first\"}", 1.0),
        ("circlet_tokens_refreshed_total{class=\"repeated\"}", 2.0),
        ("circlet_tokens_revoked_total", 1.0),
        ("circlet_rejects_total{reason=\"revoked\"}", 1.0),
        ("circlet_http_requests_total{for=\"verify\",status=\"2xx\"}", 2.0),
        ("circlet_http_requests_total{for=\"verify\",status=\"4xx\"}", 1.0),
        ("circlet_http_requests_total{for=\"token\",status=\"2xx\"}", 5.0),
        ("circlet_http_requests_total{for=\"revoke\",status=\"2xx\"}", 1.0),
        ("circlet_log_fsync_seconds_count", 4.0),
        ("circlet_log_fsync_seconds_bucket{le=\"+Inf\"}", 4.0),
        ("circlet_raft_leads", 1.0),
        ("circlet_raft_applied_index", 4.0),
        ("circlet_certificate_expiry_timestamp_seconds{certificate=\"node\"}", 1.0e9),
        ("circlet_disk_free_bytes", 1.0),
        ("process_resident_memory_bytes", 1.0e6),
    ] {
        until_at_least(&address, series, least).await;
    }
    // Of a week's end and of tokens that live longer only the first counts.
    let order = json!({"expires_in": 30 * 86_400, "force_revocable": true});
    t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(order)).await;
    let order = json!({"expires_in": 6 * 86_400, "force_revocable": true});
    t.quietly(Method::POST, TOKENS, As::Admin, Body::Json(order)).await;
    let first = page(&address).await;
    assert_eq!(value(&first, "circlet_missing{condition=\"no_leader\"}"), Some(0.0), "{first}");
    until_at_least(&address, "circlet_tokens_expiring{owner=\"admin\"}", 1.0).await;
    let last = page(&address).await;
    assert_eq!(value(&last, "circlet_tokens_expiring{owner=\"admin\"}"), Some(1.0), "{last}");

    let known = t.quietly(Method::GET, "/circlet/v1/cluster", As::Admin, Body::Empty).await.json();
    assert_eq!(value(&last, "circlet_feature_level"), known["feature_level"].as_f64());
    let supports = known["nodes"][0]["supports"].as_f64();
    assert_eq!(value(&last, "circlet_feature_level_supported{node=\"node1\"}"), supports);
    let own = t.quietly(Method::GET, "/metrics", As::Admin, Body::Empty).await;
    assert_eq!(names(&own.text), names(&last), "administrators see the same");
    for who in [As::Nobody, As::Bearer(plain.field("access_token"))] {
        let refused = t.quietly(Method::GET, "/metrics", who, Body::Empty).await;
        assert!(matches!(refused.status.as_u16(), 401 | 403), "{}", refused.text);
    }
    assert_all_speak_of_the_same(&names(&last));
}

transcript_test!(page_of_metrics, async |t: &mut Transcript<'_>| {
    let user = json!({"username": "ann", "email": "", "password": "secret word"});
    t.quietly(Method::POST, "/access/api/v2/users", As::Admin, Body::Json(user)).await;
    t.ask(Method::GET, "/metrics", As::Nobody, Body::Empty).await;
    t.ask(Method::GET, "/metrics", As::Password("ann", "secret word"), Body::Empty).await;
    t.ask_read(Method::GET, "/metrics", As::Admin, Body::Empty, decoded::metrics).await;
});

/// The names of all metrics on a page.
fn names(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// The documentation lists what is on the page and nothing else; rules and dashboard name nothing else.
fn assert_all_speak_of_the_same(shown: &BTreeSet<String>) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let read = |name: &str| std::fs::read_to_string(docs.join(name)).unwrap();
    let metrics = read("metrics.md");
    let rows = metrics.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(&documented, shown, "docs/metrics.md lists what is on the page");
    for file in ["monitoring/alerts.yml", "monitoring/dashboard.json"] {
        let text = read(file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<&str> =
            words.filter(|word| word.starts_with("circlet_") || word.starts_with("process_")).collect();
        assert!(named.len() > 10, "{file} names {named:?}");
        for name in named {
            let bare = ["_total", "_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            assert!(shown.contains(bare.unwrap_or(name)), "{file} names {name}, which no node shows");
        }
    }
}
