//! Says when every peer has applied a change of the keys or of the circle, in the words that operators look for.

use std::io::Write;
use std::time::Duration;

use crate::audit;
use crate::certificates;
use crate::clock;
use crate::cluster::Cluster;
use crate::home::Paths;

/// A peer that hasn't applied a change after this is given up; it shows the truth when it is back.
const PATIENCE: Duration = Duration::from_mins(2);
const RETRY: Duration = Duration::from_millis(250);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The name of the log file that operators know.
const LOG_FILE: &str = "artifactory.log";

/// Asks the peers.
#[derive(Clone)]
pub(crate) struct Announcer {
    cluster: Cluster,
    paths: Paths,
}

impl Announcer {
    pub(crate) fn new(cluster: Cluster, paths: Paths) -> Self {
        Self { cluster, paths }
    }

    /// Waits in the background until every peer has applied the log up to `index`, and says so for each.
    pub(crate) fn announce(&self, index: u64) {
        let own = self.cluster.status().id;
        let view = &self.cluster.published().view;
        let Some(client) = client(view.cluster_ca_certificate()) else { return };
        for node in view.nodes().filter(|node| node.record.id != own) {
            let (this, url, client) = (self.clone(), node.record.client_url.clone(), client.clone());
            tokio::spawn(async move {
                match tokio::time::timeout(PATIENCE, applied(&client, &url, index)).await {
                    Ok(()) => this.say(&url),
                    Err(_) => {
                        tracing::warn!(%url, index, "a peer has not applied a change of the keys or the circle yet");
                    }
                }
            });
        }
    }

    fn say(&self, url: &str) {
        let line = format!("Publish changes to another access peer [{url}/access] successfully");
        tracing::info!("{line}");
        let file = self.paths.logs().join(LOG_FILE);
        let written = std::fs::File::options()
            .append(true)
            .create(true)
            .open(&file)
            .and_then(|mut log| writeln!(log, "{} [INFO] {line}", audit::timestamp(clock::wall_ms())));
        if let Err(error) = written {
            tracing::warn!(%error, file = %file.display(), "a line could not be written");
        }
    }
}

/// Until the peer answers that its view holds `index`; every answer with that header is held back until it does.
async fn applied(client: &reqwest::Client, url: &str, index: u64) {
    let ping = format!("{url}/artifactory/api/system/ping");
    loop {
        let asked = client.get(&ping).header("x-circlet-index", index.to_string()).send().await;
        if asked.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// A client that accepts what the cluster's CA signed, and what the system trusts.
fn client(ca: Option<&[u8]>) -> Option<reqwest::Client> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut builder = reqwest::Client::builder().timeout(REQUEST_TIMEOUT);
    if let Some(ca) = ca {
        let pem = certificates::certificate_pem(ca);
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem(pem.as_bytes()));
    }
    builder.build().inspect_err(|error| tracing::warn!(%error, "peers can't be asked")).ok()
}
