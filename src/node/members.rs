//! Writes down which nodes there are, so that `circlet doctor` knows them while this node doesn't run.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::doctor::KnownMember;
use crate::home::{self, Paths};

/// How often is looked whether they have changed.
const LOOK: Duration = Duration::from_millis(250);

/// Writes them whenever they differ from what was written last. Never returns.
pub(super) async fn run(cluster: Cluster, paths: Paths) {
    let mut written = Vec::new();
    loop {
        let known: Vec<KnownMember> =
            cluster.published().view.nodes().map(|node| KnownMember::of(&node.record)).collect();
        if known != written && !known.is_empty() {
            let text = serde_json::to_vec_pretty(&known).expect("numbers and texts have a JSON form");
            match home::write_public(&paths.members(), &text) {
                Ok(()) => written = known,
                Err(error) => tracing::debug!(%error, "the list of nodes could not be written"),
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
