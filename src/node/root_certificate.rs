//! Keeps `etc/keys/root.crt` what the cluster signs with, on every node.

use std::time::Duration;

use crate::certificates;
use crate::cluster::Cluster;
use crate::home::{self, Paths};

/// How long a change of the active key may take to show in the file.
const LOOK: Duration = Duration::from_secs(1);

/// Writes the file when it is missing or the active key has changed. Never returns.
pub(super) async fn run(cluster: Cluster, paths: Paths) {
    let mut written = None;
    loop {
        let published = cluster.published();
        if let Some(key) = published.view.active_key()
            && written.as_ref() != Some(&key.kid)
        {
            match write(&paths, &key.certificate_der) {
                Ok(()) => written = Some(key.kid.clone()),
                Err(error) => tracing::warn!(%error, "the root certificate could not be written"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn write(paths: &Paths, certificate: &[u8]) -> Result<(), home::HomeError> {
    let file = paths.root_crt();
    let pem = certificates::certificate_pem(certificate);
    let present = std::fs::read(&file).ok().and_then(|pem| certificates::read_certificates(&pem).ok());
    if present.is_some_and(|present| present.iter().any(|der| der == certificate)) {
        return Ok(());
    }
    home::write_public(&file, pem.as_bytes())
}
