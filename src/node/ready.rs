//! Says when the node is ready: it has proved once that its view is fresh, and has a certificate to show to clients.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::cluster::Cluster;

/// Before it is looked again for what was lacking.
const RETRY: Duration = Duration::from_millis(100);

/// What is said, and where.
pub(super) struct Ready {
    pub(super) cluster: Cluster,
    /// Whether there is a certificate to show, where clients are to be shown one.
    pub(super) can_greet: Box<dyn Fn() -> bool + Send + Sync>,
    pub(super) file: Option<PathBuf>,
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) service_id: String,
    pub(super) url: String,
}

#[derive(Serialize)]
struct Content<'a> {
    id: u64,
    name: &'a str,
    service_id: &'a str,
    url: &'a str,
    pid: u32,
}

impl Ready {
    /// Waits until the node is ready, then writes the ready file.
    pub(super) async fn announce(self) {
        while self.cluster.isolation_ms().is_none() {
            if self.cluster.fresh().await.is_err() {
                tokio::time::sleep(RETRY).await;
            }
        }
        while !(self.can_greet)() {
            tokio::time::sleep(RETRY).await;
        }
        tracing::info!(node = self.id, url = %self.url, "ready");
        super::supervisor::ready();
        if let Some(file) = &self.file
            && let Err(error) = super::write_by_rename(file, &self.content())
        {
            tracing::error!(%error, "the ready file could not be written");
        }
    }

    fn content(&self) -> Vec<u8> {
        let content = Content {
            id: self.id,
            name: &self.name,
            service_id: &self.service_id,
            url: &self.url,
            pid: std::process::id(),
        };
        let mut text = serde_json::to_vec_pretty(&content).expect("numbers and texts have a JSON form");
        text.push(b'\n');
        text
    }
}
