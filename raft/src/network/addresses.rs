//! Where nodes are reached. openraft goes on with the addresses that it knew when it began to talk to a node.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::NodeId;

/// What a node has said counts for this long, in milliseconds of our boot clock: it says it again until it is decided, and what was
/// held up on its way may be of before.
const COUNTS_MS: u64 = 30_000;

/// Of each node: what the membership says, and what the node itself has said since.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<BTreeMap<NodeId, Whereabouts>>);

#[derive(Debug)]
struct Whereabouts {
    recorded: String,
    /// A node that has moved tells whoever it reaches. Until that is decided it might otherwise be found by nobody, and without
    /// it nothing be decided.
    said: Option<Said>,
}

#[derive(Debug)]
struct Said {
    address: String,
    boot_ms: u64,
}

impl Addresses {
    /// The membership has these. What it says anew is newer than what a node had said before.
    pub(crate) fn record(&self, recorded: BTreeMap<NodeId, String>, boot_ms: u64) {
        let mut known = self.lock();
        let mut before = std::mem::take(&mut *known);
        *known = recorded
            .into_iter()
            .map(|(id, recorded)| {
                let same = before.remove(&id).filter(|before| before.recorded == recorded);
                let said = same.and_then(|before| before.said);
                let said = said.filter(|said| boot_ms.saturating_sub(said.boot_ms) <= COUNTS_MS);
                (id, Whereabouts { recorded, said })
            })
            .collect();
    }

    /// A member, whose key was checked, says that it is here.
    pub(crate) fn say(&self, id: NodeId, address: &str, boot_ms: u64) {
        if let Some(known) = self.lock().get_mut(&id) {
            known.said = (known.recorded != address).then(|| Said { address: address.to_owned(), boot_ms });
        }
    }

    /// Where to dial a node.
    pub(crate) fn of(&self, id: NodeId) -> Option<String> {
        let known = self.lock();
        let Whereabouts { recorded, said } = known.get(&id)?;
        Some(said.as_ref().map_or(recorded, |said| &said.address).clone())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Whereabouts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Addresses, COUNTS_MS};

    #[test]
    fn a_node_is_dialled_where_it_says_that_it_is_until_the_membership_says_something_new() {
        let addresses = Addresses::default();
        let record = |address: &str, boot_ms| addresses.record([(7, address.to_owned())].into(), boot_ms);
        addresses.say(7, "nobody knows it:1", 0);
        assert_eq!(addresses.of(7), None, "only members are noted");
        record("old:1", 0);
        addresses.say(7, "new:1", 5);
        assert_eq!(addresses.of(7).as_deref(), Some("new:1"));
        record("old:1", 5 + COUNTS_MS);
        assert_eq!(addresses.of(7).as_deref(), Some("new:1"), "nothing was decided");
        record("old:1", 6 + COUNTS_MS);
        assert_eq!(addresses.of(7).as_deref(), Some("old:1"), "it doesn't say so any more");
        addresses.say(7, "new:1", 50_000);
        record("newer:1", 50_000);
        assert_eq!(addresses.of(7).as_deref(), Some("newer:1"), "it has moved on, and told others");
        addresses.say(7, "elsewhere:1", 50_000);
        addresses.say(7, "newer:1", 50_000);
        assert_eq!(addresses.of(7).as_deref(), Some("newer:1"), "it is back");
        addresses.record([].into(), 50_000);
        assert_eq!(addresses.of(7), None);
    }
}
