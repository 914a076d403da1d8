//! A home whose master key is not the cluster's.

use circlet_authority::State;

use super::{Node, REMOVED_LOOK};
use crate::home::HomeError;
use crate::seal::hex;
use crate::turnover::keeping;

impl Node {
    /// Until it is certain that nobody gives this node the master key of the cluster: its own was never the cluster's, or
    /// there is no other node to ask.
    pub(super) async fn lacks_master_key(&self) -> HomeError {
        loop {
            let lacks = |view: &State| {
                let expected = view.master_key_fingerprint()?;
                self.cluster.keys().master_of(&expected).is_err().then_some(expected)
            };
            if lacks(&self.cluster.published().view).is_some()
                && let Ok(fresh) = self.cluster.fresh().await
                && let Some(expected) = lacks(&fresh.view)
            {
                let (view, own) = (&fresh.view, self.own_key);
                if keeping::is_left_alone(view, &own) {
                    let older = view.is_former_master_key(&own);
                    let file = self.home.paths.master_key();
                    let (found, expected) = (hex(&own), hex(&expected));
                    return HomeError::OtherMasterKey { file, found, expected, older };
                }
            }
            tokio::time::sleep(REMOVED_LOOK).await;
        }
    }
}
