//! What goes wrong between clusters, and at the neighbour.

use super::{Chaos, Fault};
use crate::neighbour::{NUMBER, STALENESS_MS};

/// So much longer than what is known of the neighbour may be old it is cut off, in milliseconds.
const AND_MORE_MS: u64 = 3_000;

impl Chaos {
    /// The clusters don't reach each other for longer than what each knows of the other may be old.
    pub(super) async fn cut_circle(&self) -> bool {
        let Ok(_network) = self.network.try_lock() else { return false };
        // A node that came now would not be cut off from it.
        let Ok(_moving) = self.moving.try_lock() else { return false };
        self.say(Fault::CircleCut, "the neighbour is cut off".to_owned());
        for node in self.lab.nodes() {
            self.lab.must(&self.judge, &["cut", &node.number.to_string(), &NUMBER.to_string()]).await;
        }
        self.wait_ms(STALENESS_MS + 1_000, STALENESS_MS + AND_MORE_MS).await;
        self.lab.must(&self.judge, &["mend"]).await;
        true
    }

    /// The neighbour is killed, and started again later.
    pub(super) async fn kill_neighbour(&self) -> bool {
        let Ok(_neighbour) = self.neighbour.try_lock() else { return false };
        self.say(Fault::NeighbourDown, "the neighbour is killed".to_owned());
        self.lab.must(&self.judge, &["neighbour-kill"]).await;
        self.wait_ms(20, 2_000).await;
        self.lab.must(&self.judge, &["neighbour-start"]).await;
        true
    }
}
