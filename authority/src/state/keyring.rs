//! What a signing key waits for, on its way from published to retired. Asked by apply, which holds a key back, and by the
//! nodes, which drive it on and tell what is missing.

use circlet_token::KeyId;

use super::State;
use crate::{
    config::{Config, unsigned},
    record::{Key, KeyOrigin, KeyState, NodeRole},
};

impl State {
    /// The key that is published and shall sign next.
    #[must_use]
    pub fn next_key(&self) -> Option<&Key> {
        self.keyring.values().map(AsRef::as_ref).find(|key| key.state == KeyState::Published)
    }

    /// Whether a key may sign: the active one, and those before it, whose records are signed again when a request is
    /// repeated. Never one that leaked, has retired, has not been activated, or is of an earlier generation of the cluster.
    #[must_use]
    pub fn may_sign(&self, kid: &KeyId) -> bool {
        let key = self.keyring.get(kid).filter(|key| key.private_key.is_some());
        matches!(key.map(|key| key.state), Some(KeyState::Active | KeyState::Retiring))
    }

    /// How many recorded tokens a key has signed, expired ones included until they are purged.
    #[must_use]
    pub fn signed_by(&self, kid: &KeyId) -> u64 {
        self.tokens.signed_by(kid)
    }

    /// The members that have not said yet that they unsealed a key.
    pub fn unconfirmed<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = u64> + 'a {
        let members = self.nodes.values().filter(|node| node.role != NodeRole::Admitted);
        members.map(|node| node.record.id).filter(|id| !key.confirmed.contains(id))
    }

    /// Why a published key can't sign at `now_ms`, if it can't: its overlap is not over, or a node or a member of the
    /// circle may not know it. A node that has not confirmed within `verify.max-isolation` has been cut off since before
    /// the key was published, and verifies nothing any more; a member is waited for `circle.key-wait`.
    #[must_use]
    pub fn key_waits(&self, key: &Key, now_ms: u64) -> Option<String> {
        let age_secs = now_ms.saturating_sub(key.since_ms) / 1_000;
        if age_secs < key.overlap_secs {
            let left = key.overlap_secs.saturating_sub(age_secs);
            return Some(format!(
                "it is shown for {} s before it signs; {left} s are left",
                key.overlap_secs
            ));
        }
        let nodes: Vec<String> = self.unconfirmed(key).map(|id| id.to_string()).collect();
        let patience = unsigned(self.config.verify_max_isolation);
        let by_nodes = waits_for("not yet unsealed by these nodes", &nodes, patience, age_secs);
        let members: Vec<String> =
            self.members_unaware(key).map(|member| member.approved.name.clone()).collect();
        let patience = unsigned(self.config.circle_key_wait);
        by_nodes.or_else(|| {
            waits_for("not yet taken over by these members of the circle", &members, patience, age_secs)
        })
    }

    /// Why a retiring key is still needed at `now_ms`, if it is.
    #[must_use]
    pub fn key_is_needed(&self, key: &Key, now_ms: u64, vouched: bool) -> Option<String> {
        let recorded = self.signed_by(&key.kid);
        if recorded > 0 {
            return Some(format!("{recorded} recorded tokens are signed with it"));
        }
        let left = key.plain_until.saturating_sub(now_ms / 1_000);
        // From before this generation: of those tokens nothing is recorded.
        if key.plain_until == u64::MAX {
            let why =
                "tokens of it may live for ever; `circlet key retire` vouches that none is needed any more";
            return (!vouched).then(|| why.to_owned());
        }
        if left > 0 {
            return Some(format!("tokens that nobody recorded may be signed with it for {left} s more"));
        }
        if key.origin == KeyOrigin::Adopted && !vouched {
            let why = "tokens from before its adoption are not known here; `circlet key retire` vouches that none is left";
            return Some(why.to_owned());
        }
        None
    }

    /// Until when, in seconds, a token of the active key may live that nobody has recorded: a node that is cut off goes on
    /// issuing under the present configuration.
    pub(crate) fn plain_horizon(&self) -> u64 {
        self.now_secs().saturating_add(self.plain_secs())
    }

    /// The same, counted from now.
    pub(crate) fn plain_secs(&self) -> u64 {
        let isolation = self.config.issue_max_isolation.max(self.config.verify_max_isolation);
        let longest = longest_plain(&self.config);
        let leeway = unsigned(self.config.clock_leeway);
        [unsigned(isolation), longest, leeway].iter().fold(0, |sum: u64, more| sum.saturating_add(*more))
    }

    /// How long tokens of the active key can live, settled before it signs no more, or before the configuration changes.
    pub(crate) fn keep_plain_horizon(&mut self) {
        let Some(key) = self.active_key().map(|key| key.as_ref().clone()) else { return };
        let plain_until = key.plain_until.max(self.plain_horizon());
        self.keyring.insert(key.kid.clone(), std::sync::Arc::new(Key { plain_until, ..key }));
    }
}

/// That somebody is waited for, while it lasts.
fn waits_for(what: &str, missing: &[String], patience: u64, age_secs: u64) -> Option<String> {
    let left = patience.saturating_sub(age_secs);
    let missing = Some(missing.join(", ")).filter(|missing| !missing.is_empty() && left > 0)?;
    Some(format!("{what}: {missing}; they are waited for {left} s more"))
}

/// The longest that a token can live which nobody records, in seconds.
fn longest_plain(config: &Config) -> u64 {
    unsigned(config.persistent_expiry_threshold.saturating_sub(1))
}
