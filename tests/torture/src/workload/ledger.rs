//! Which key stands where on which node, as far as the nodes have said so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use circlet_sim::history::{Event, Standing};
use circlet_token::KeyId;

use crate::judge::Judge;

/// No log is as long.
const BEYOND: u64 = 1 << 48;

/// What is known of keys.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// By node and key: since when it is known to stand there so, in nanoseconds.
    standings: BTreeMap<(u64, KeyId), (u64, Standing)>,
    known: BTreeSet<KeyId>,
    tainted: BTreeSet<KeyId>,
    /// Nodes that are told of other clusters' keys. One that left may have given its number to another.
    told_of_theirs: BTreeSet<u64>,
    /// How often something was told. What is told later has a higher number, as later log entries have; behind all of these,
    /// since no view is known to have it.
    told: u64,
}

/// Keys of ours only go up.
fn rank(standing: Standing) -> u8 {
    match standing {
        Standing::Published => 0,
        Standing::Active => 1,
        Standing::Retiring => 2,
        Standing::Tainted | Standing::Retired | Standing::Trusted | Standing::Distrusted => 3,
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a key of ours stands on a node, and since when that is known.
    pub(crate) fn standing(&self, node: u64, kid: &KeyId) -> Option<(u64, Standing)> {
        self.lock().standings.get(&(node, kid.clone())).copied()
    }

    /// Where keys of ours stand on a node, as far as it has said so.
    pub(crate) fn on_node(&self, node: u64) -> Vec<(KeyId, Standing)> {
        let inner = self.lock();
        let of_node = inner.standings.iter().filter(|((on, _), _)| *on == node);
        of_node.map(|((_, kid), (_, standing))| (kid.clone(), *standing)).collect()
    }

    /// Whether any node has said that it knows the key.
    pub(crate) fn knows(&self, kid: &KeyId) -> bool {
        self.lock().known.contains(kid)
    }

    /// Some key that is tainted; this one if it is.
    pub(crate) fn tainted(&self, rather: Option<&KeyId>) -> Option<KeyId> {
        let inner = self.lock();
        match rather {
            Some(kid) => inner.tainted.get(kid).cloned(),
            None => inner.tainted.first().cloned(),
        }
    }

    /// A node has applied that a key of ours stands so. An answer that was under way says nothing new.
    pub(crate) fn tell(&self, judge: &Judge, node: u64, kid: &KeyId, standing: Standing) {
        let mut inner = self.lock();
        let before = inner.standings.get(&(node, kid.clone())).map(|(_, standing)| rank(*standing));
        if before.is_none_or(|before| before < rank(standing)) {
            inner.standings.insert((node, kid.clone()), (judge.now(), standing));
            if standing == Standing::Tainted {
                inner.tainted.insert(kid.clone());
            }
            inner.pass_on(judge, node, kid, standing);
        }
    }

    /// Any of these nodes may accept another cluster's key from now on, and any that has accepted it no more.
    pub(crate) fn tell_trusted(&self, judge: &Judge, nodes: impl Iterator<Item = u64>, kid: &KeyId) {
        let mut inner = self.lock();
        inner.told_of_theirs.extend(nodes);
        for node in inner.told_of_theirs.clone() {
            inner.pass_on(judge, node, kid, Standing::Trusted);
        }
    }

    /// A node has applied that another cluster's key is trusted no more.
    pub(crate) fn tell_distrusted(&self, judge: &Judge, node: u64, kid: &KeyId) {
        let mut inner = self.lock();
        inner.told_of_theirs.insert(node);
        inner.pass_on(judge, node, kid, Standing::Distrusted);
    }
}

impl Inner {
    fn pass_on(&mut self, judge: &Judge, node: u64, kid: &KeyId, standing: Standing) {
        self.known.insert(kid.clone());
        self.told += 1;
        judge.tell(&Event::Key { node, index: BEYOND + self.told, kid: kid.clone(), standing });
    }
}

#[cfg(test)]
mod tests {
    use circlet_sim::history::Standing;
    use circlet_token::KeyId;

    use super::{Judge, Ledger};

    #[test]
    fn what_a_late_answer_says_of_a_key_is_not_believed() {
        let (judge, ledger, kid) = (Judge::new(None), Ledger::default(), KeyId::of_certificate(b"one"));
        for standing in [Standing::Active, Standing::Tainted, Standing::Active] {
            ledger.tell(&judge, 1, &kid, standing);
        }
        assert_eq!(ledger.standing(1, &kid).map(|(_, standing)| standing), Some(Standing::Tainted));
        assert_eq!(ledger.standing(2, &kid), None);
        assert_eq!(ledger.tainted(Some(&kid)), Some(kid));
    }
}
