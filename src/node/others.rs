//! Whether the nodes of a cluster that is said to be lost answer.

use std::time::Duration;

use serde_json::Value;

use super::next_generation::NextGenerationError;

/// A node that lives answers at once, unless its machine is very busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tells the service id to anybody.
const HEALTH: &str = "/router/api/v1/system/health";

/// Refuses to go on while a node, given by name and URL, answers as one of this cluster. Silence proves nothing; it only
/// keeps an operator from a mistake.
pub(super) async fn must_be_gone(
    service_id: &str,
    nodes: Vec<(String, String)>,
) -> Result<(), NextGenerationError> {
    // The TLS library wants its cryptography named once for the process; a second time changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Only whether anybody is there counts: whose certificate it is, and of which authority, does not.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(PATIENCE)
        .tls_danger_accept_invalid_certs(true)
        .build()
        .map_err(|_| NextGenerationError::BrokenOff)?;
    let asked = nodes.into_iter().map(|(name, url)| {
        let client = client.clone();
        async move {
            let answer = client.get(format!("{}{HEALTH}", url.trim_end_matches('/'))).send().await.ok()?;
            let body: Value = answer.json().await.ok()?;
            let found = body["services"][0]["service_id"].as_str()?;
            (found == service_id).then(|| format!("{name} at {url}"))
        }
    });
    let names: Vec<String> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(NextGenerationError::StillLives { service_id: service_id.to_owned(), names })
}
